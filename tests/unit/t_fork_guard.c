/* What a child of fork(2) has of our descriptors, whenever it comes. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/fork_guard.h"

#define FORKS   100
#define FDS     256
#define AT_ONCE 8

static atomic_bool enough;

/* As a loop does with connections that come and go. */
static void *
comes_and_goes(void *arg)
{
	int fd[AT_ONCE];

	(void)arg;
	while (!enough) {
		for (int i = 0; i < AT_ONCE; i++) {
			fork_guard_begin();
			fd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
			fork_guard_add(fd[i]);
			fork_guard_end();
		}
		for (int i = 0; i < AT_ONCE; i++)
			fork_guard_close(&fd[i]);
		sched_yield(); /* locks are not fair */
	}
	return NULL;
}

static int
sockets(void)
{
	struct stat st;
	int n = 0;

	for (int fd = STDERR_FILENO + 1; fd < FDS; fd++)
		n += fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
	return n;
}

/* How many a child has. */
static int
of_child(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(sockets());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
test_a_child_has_none_that_comes_or_goes_while_it_is_made(void **state)
{
	int others = of_child();
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, comes_and_goes, NULL),
	    0);
	for (int i = 0; i < FORKS; i++)
		assert_int_equal(of_child(), others);
	enough = true;
	pthread_join(thread, NULL);
}

static void
test_a_fork_of_our_own_keeps_them(void **state)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), others;

	(void)state;
	others = of_child();
	fork_guard_add(fd);
	assert_int_equal(of_child(), others - 1);
	fork_guard_own_fork(true);
	assert_int_equal(of_child(), others);
	fork_guard_own_fork(false);
	fork_guard_close(&fd);
	assert_int_equal(fd, -1);
}

/* As a daemon does: it has closed all that it got, and opened its own. */
static void
test_what_a_child_opens_is_its_own_children_s(void **state)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), others;
	int status;
	pid_t pid;

	(void)state;
	others = of_child();
	fork_guard_add(fd);
	pid = fork();
	if (pid == 0) {
		close(fd);
		if (socket(AF_UNIX, SOCK_STREAM, 0) != fd)
			_exit(1);
		_exit(of_child() != others);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	fork_guard_close(&fd);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_fork_of_our_own_keeps_them),
		cmocka_unit_test(test_what_a_child_opens_is_its_own_children_s),
		cmocka_unit_test(
		    test_a_child_has_none_that_comes_or_goes_while_it_is_made),
	};

	fork_guard_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
