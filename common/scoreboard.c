#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/scoreboard.h"

static size_t
size_for(uint32_t n_slots)
{
	return sizeof(struct scoreboard) +
	    (size_t)n_slots *
	    (sizeof(struct score_slot) + sizeof(struct score_addresses));
}

static struct scoreboard *
map(int fd, uint32_t n_slots)
{
	struct scoreboard *b = mmap(NULL, size_for(n_slots),
	    PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return b == MAP_FAILED ? NULL : b;
}

struct scoreboard *
scoreboard_new(uint32_t n_slots, int *fd)
{
	struct scoreboard *b = NULL;

	*fd =
	    memfd_create("prefork-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd >= 0 && ftruncate(*fd, (off_t)size_for(n_slots)) == 0 &&
	    fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0)
		b = map(*fd, n_slots);
	if (b == NULL) {
		fd_close(fd);
		return NULL;
	}
	b->layout = SCORE_LAYOUT;
	b->n_slots = n_slots;
	if (getrandom(&b->secret, sizeof b->secret, GRND_NONBLOCK) < 0)
		b->secret = (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
	return b;
}

struct scoreboard *
scoreboard_map(int fd, uint32_t n_slots)
{
	struct scoreboard *b;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NULL;
	if ((uint64_t)st.st_size != size_for(n_slots)) {
		errno = EPROTO;
		return NULL;
	}
	b = map(fd, n_slots);
	if (b != NULL && b->layout == SCORE_LAYOUT && b->n_slots == n_slots)
		return b;
	if (b != NULL) {
		munmap(b, size_for(n_slots));
		errno = EPROTO;
	}
	return NULL;
}

void
scoreboard_free(struct scoreboard **bp)
{
	struct scoreboard *b = *bp;

	*bp = NULL;
	if (b != NULL)
		munmap(b, size_for(b->n_slots));
}

struct score_addresses *
scoreboard_addresses(struct scoreboard *b, uint32_t slot)
{
	return (struct score_addresses *)(void *)(b->slot + b->n_slots) + slot;
}

void
scoreboard_addresses_clear(struct scoreboard *b, uint32_t slot)
{
	if (SCORE_GET(&b->slot[slot], counts_addresses) == 0)
		return;
	SCORE_SET(&b->slot[slot], counts_addresses, 0);
	memset(scoreboard_addresses(b, slot), 0,
	    sizeof(struct score_addresses));
}
