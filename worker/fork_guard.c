#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/fd.h"
#include "worker/fork_guard.h"

#define FDS_MAX (1u << 20) /* a byte each; pages never used cost nothing */

/* The kernel copies the fds first and the memory later: whoever forks has this,
 * so that both tell of the same ones. */
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;

/* By fd.  NULL: no memory, nothing is guarded. */
static bool *guarded;
static size_t guarded_max; /* room */
static size_t n_guarded;   /* those above are not, and never were */

static _Thread_local bool is_our_own;

static bool is_child;

/* Something else takes the numbers: what still writes to them must not reach a
 * file that the child opens. */
static void
give_up(int fd, int null)
{
	if (null < 0 || dup3(null, fd, O_CLOEXEC) < 0)
		close(fd);
}

void
fork_guard_begin(void)
{
	pthread_mutex_lock(&changing);
}

void
fork_guard_end(void)
{
	pthread_mutex_unlock(&changing);
}

/* The other threads are gone, and with them whatever they hold: no malloc(). */
static void
on_forked_child(void)
{
	int null;

	fork_guard_end();
	if (is_our_own)
		return;
	is_child = true;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (size_t fd = 0; fd < n_guarded; fd++) {
		if (guarded[fd])
			give_up((int)fd, null);
		guarded[fd] = false; /* of a child of this one */
	}
	if (null >= 0)
		close(null);
}

bool
fork_guard_is_child(void)
{
	return is_child;
}

void
fork_guard_install(void)
{
	struct rlimit limit = { .rlim_cur = FDS_MAX };
	void *p;

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur > FDS_MAX)
		limit.rlim_cur = FDS_MAX;
	p = mmap(NULL, limit.rlim_cur, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return;
	guarded = p;
	guarded_max = limit.rlim_cur;
	pthread_atfork(fork_guard_begin, fork_guard_end, on_forked_child);
}

static void
set(int fd, bool value)
{
	if (fd < 0 || (size_t)fd >= guarded_max)
		return;
	guarded[fd] = value;
	if ((size_t)fd >= n_guarded)
		n_guarded = (size_t)fd + 1;
}

void
fork_guard_add(int fd)
{
	set(fd, true);
}

void
fork_guard_close(int *fd)
{
	fork_guard_begin();
	set(*fd, false);
	fd_close(fd);
	fork_guard_end();
}

void
fork_guard_own_fork(bool begins)
{
	is_our_own = begins;
}
