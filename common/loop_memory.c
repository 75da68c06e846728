#include <malloc.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <ev.h>

#include "common/assert.h"
#include "common/log.h"
#include "common/loop_memory.h"

/* libev has four arrays with an entry for each fd, 48 bytes in all; each may
 * come here for every doubling on its way, and be twice as long as it must. */
#define BYTES_PER_FD 192u
#define BYTES_OTHER  65536u

struct block {
	alignas(max_align_t) size_t size;
	char bytes[];
};

static struct {
	char *at;
	size_t size, used;
	unsigned blocks; /* not freed */
} reserve;

static bool
is_reserved(const void *p)
{
	uintptr_t at = (uintptr_t)p, begin = (uintptr_t)reserve.at;

	return at >= begin && at - begin < reserve.size;
}

static size_t
size_of(void *p)
{
	const char *bytes = p;

	if (!is_reserved(p))
		return malloc_usable_size(p);
	return ((const struct block *)(const void *)(bytes -
		    offsetof(struct block, bytes)))
	    ->size;
}

static void
release(void *p)
{
	if (!is_reserved(p)) {
		free(p);
		return;
	}
	reserve.blocks--;
	if (reserve.blocks == 0)
		reserve.used = 0;
}

static void *
take_reserved(size_t size)
{
	size_t align = alignof(max_align_t);
	size_t whole =
	    (sizeof(struct block) + size + align - 1) / align * align;
	struct block *b;

	if (whole > reserve.size - reserve.used) {
		log_error("event loop");
		return NULL;
	}
	b = (struct block *)(void *)(reserve.at + reserve.used);
	b->size = size;
	reserve.used += whole;
	reserve.blocks++;
	return b->bytes;
}

/* As realloc(); of the size 0, as free().  What is in the reserve moves out as
 * soon as it can. */
static void *
loop_realloc(void *p, long bytes)
{
	bool reserved = is_reserved(p);
	size_t size = (size_t)bytes, was;
	void *q;

	if (size == 0) {
		release(p);
		return NULL;
	}
	q = reserved ? malloc(size) : realloc(p, size);
	if (q != NULL && !reserved)
		return q;
	if (q == NULL)
		q = take_reserved(size);
	if (q == NULL || p == NULL)
		return q;
	was = size_of(p);
	memcpy(q, p, was < size ? was : size);
	release(p);
	return q;
}

int
loop_memory_reserve(size_t fds)
{
	size_t size = fds * BYTES_PER_FD + BYTES_OTHER;
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return -1;
	pf_assert(reserve.blocks == 0);
	if (reserve.at != NULL)
		munmap(reserve.at, reserve.size);
	reserve.at = at;
	reserve.size = size;
	reserve.used = 0;
	ev_set_allocator(loop_realloc);
	return 0;
}
