/* Memory that lives as long as one request, freed as a whole. */
#ifndef WORKER_ARENA_H
#define WORKER_ARENA_H

#include <stddef.h>

struct arena {
	struct arena_block *blocks;
	char *at;
	size_t left;
};

/* Aligned for any type; NULL when memory is out. */
void *arena_alloc(struct arena *, size_t n);
void arena_reset(struct arena *);

#endif
