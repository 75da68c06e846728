/* libev without memory: it has what was set aside. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <ev.h>

#include "common/loop_memory.h"

#define FDS 1000

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* they map terabytes */
#else
#define SANITIZED 0
#endif

static unsigned seen;

static void
on_readable(struct ev_loop *loop, ev_io *io, int revents)
{
	(void)revents;
	seen++;
	ev_io_stop(loop, io);
}

static void
limit_memory(rlim_t bytes)
{
	const struct rlimit limit = { bytes, RLIM_INFINITY };

	if (setrlimit(RLIMIT_AS, &limit) < 0)
		_exit(2);
}

/* All that malloc would still give. */
static void
use_up_memory(void)
{
	static void *volatile last;

	limit_memory(0);
	for (size_t n = 1 << 20; n >= 16; n /= 2)
		while ((last = malloc(n)) != NULL)
			continue;
}

static void
watch_pipes(struct ev_loop *loop, ev_io *io)
{
	int pipe_fd[2];

	if (pipe2(pipe_fd, O_CLOEXEC) < 0 || write(pipe_fd[1], "x", 1) != 1)
		_exit(3);
	for (int n = 0; n < FDS; n++) {
		ev_io_init(&io[n], on_readable, dup(pipe_fd[0]), EV_READ);
		if (io[n].fd < 0)
			_exit(4);
		ev_io_start(loop, &io[n]);
	}
}

static int
loop_without_memory(void)
{
	static ev_io io[FDS];
	const struct rlimit fds = { FDS + 64, FDS + 64 };
	struct ev_loop *loop;

	if (setrlimit(RLIMIT_NOFILE, &fds) < 0 ||
	    loop_memory_reserve(FDS + 64) < 0)
		return 5;
	loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	use_up_memory();
	watch_pipes(loop, io);
	ev_run(loop, 0);
	ev_loop_destroy(loop);
	limit_memory(RLIM_INFINITY);
	if (loop_memory_reserve(FDS) < 0) /* which asserts that all is back */
		return 6;
	return seen == FDS ? 0 : 1;
}

static void
a_loop_without_memory_watches_what_was_planned_for(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	if (SANITIZED)
		skip();
	pid = fork();
	if (pid == 0)
		_exit(loop_without_memory());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
a_reserve_can_be_made_for_each_loop(void **state)
{
	(void)state;
	for (size_t fds = 1; fds < 10000; fds *= 10) {
		struct ev_loop *loop;

		assert_int_equal(loop_memory_reserve(fds), 0);
		loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
		assert_non_null(loop);
		ev_loop_destroy(loop);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_loop_without_memory_watches_what_was_planned_for),
		cmocka_unit_test(a_reserve_can_be_made_for_each_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
