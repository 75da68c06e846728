#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "worker/fork_guard.h"

#define FDS_MAX (1u << 20) /* a byte each; pages never used cost nothing */

/* A table and not a list: a thread forks while another may be in the middle of
 * changing something.  NULL: no memory, nothing is guarded. */
static _Atomic unsigned char *guarded;
static size_t n_guarded;

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

/* Only what is async-signal-safe: the other threads are gone. */
static void
on_forked_child(void)
{
	int null;

	if (is_our_own)
		return;
	is_child = true;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (size_t fd = 0; fd < n_guarded; fd++)
		if (atomic_load_explicit(&guarded[fd], memory_order_relaxed))
			give_up((int)fd, null);
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
	n_guarded = limit.rlim_cur;
	pthread_atfork(NULL, NULL, on_forked_child);
}

static void
set(int fd, unsigned char value)
{
	if (fd >= 0 && (size_t)fd < n_guarded)
		atomic_store_explicit(&guarded[fd], value,
		    memory_order_relaxed);
}

void
fork_guard_add(int fd)
{
	set(fd, 1);
}

void
fork_guard_remove(int fd)
{
	set(fd, 0);
}

void
fork_guard_own_fork(bool begins)
{
	is_our_own = begins;
}
