#include <stddef.h>
#include <sys/mman.h>

#include "common/scoreboard.h"

static size_t
size_for(uint32_t n_slots)
{
	return sizeof(struct scoreboard) +
	    (size_t)n_slots * sizeof(struct score_slot);
}

struct scoreboard *
scoreboard_new(uint32_t n_slots)
{
	struct scoreboard *b = mmap(NULL, size_for(n_slots),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (b == MAP_FAILED)
		return NULL;
	b->n_slots = n_slots;
	return b;
}

void
scoreboard_free(struct scoreboard **bp)
{
	struct scoreboard *b = *bp;

	*bp = NULL;
	if (b != NULL)
		munmap(b, size_for(b->n_slots));
}
