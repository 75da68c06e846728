#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/scoreboard.h"

static size_t
size_for(uint32_t n_slots)
{
	return sizeof(struct scoreboard) +
	    (size_t)n_slots * sizeof(struct score_slot);
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
