#include <stdalign.h>
#include <stdlib.h>

#include "worker/arena.h"

#define BLOCK_BYTES 2048

struct arena_block {
	struct arena_block *next;
	alignas(max_align_t) char bytes[];
};

void *
arena_alloc(struct arena *a, size_t n)
{
	size_t need =
	    (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	size_t size = need > BLOCK_BYTES ? need : BLOCK_BYTES;
	struct arena_block *b;
	char *p;

	if (need < n)
		return NULL;
	if (need > a->left) {
		b = malloc(sizeof *b + size);
		if (b == NULL)
			return NULL;
		b->next = a->blocks;
		a->blocks = b;
		a->at = b->bytes;
		a->left = size;
	}
	p = a->at;
	a->at += need;
	a->left -= need;
	return p;
}

void
arena_reset(struct arena *a)
{
	struct arena_block *b, *next;

	for (b = a->blocks; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	*a = (struct arena){ 0 };
}
