#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/scoreboard.h"

static struct scoreboard *
map(int fd)
{
	struct scoreboard *b =
	    mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return b == MAP_FAILED ? NULL : b;
}

struct scoreboard *
scoreboard_new(int *fd)
{
	struct scoreboard *b = NULL;

	*fd =
	    memfd_create("prefork-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd >= 0 && ftruncate(*fd, (off_t)sizeof *b) == 0 &&
	    fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0)
		b = map(*fd);
	if (b == NULL) {
		fd_close(fd);
		return NULL;
	}
	b->layout = SCORE_LAYOUT;
	if (getrandom(&b->secret, sizeof b->secret, GRND_NONBLOCK) < 0)
		b->secret = (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
	return b;
}

struct scoreboard *
scoreboard_map(int fd)
{
	struct scoreboard *b;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NULL;
	if (st.st_size != (off_t)sizeof *b) {
		errno = EPROTO;
		return NULL;
	}
	b = map(fd);
	if (b != NULL && b->layout == SCORE_LAYOUT)
		return b;
	if (b != NULL) {
		scoreboard_free(&b);
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
		munmap(b, sizeof *b);
}

uint32_t
scoreboard_used(const struct scoreboard *b)
{
	uint32_t n = SCORE_GET(b, n_used);

	return n < SCORE_SLOTS ? n : SCORE_SLOTS;
}

void
scoreboard_addresses_clear(struct scoreboard *b, uint32_t slot)
{
	if (SCORE_GET(&b->slot[slot], counts_addresses) == 0)
		return;
	SCORE_SET(&b->slot[slot], counts_addresses, 0);
	memset(&b->addresses[slot], 0, sizeof b->addresses[slot]);
}
