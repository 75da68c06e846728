/* What a wait status means, from real ends of real processes. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "master/exit_text.h"

static char text[64];

/* The wait status of a child that exits, or kills itself. */
static int
status_of(int code, int signo)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (signo != 0)
			kill(getpid(), signo);
		_exit(code);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	exit_text(status, text, sizeof text);
	return status;
}

static void
an_exit_is_told_with_its_status(void **state)
{
	(void)state;
	assert_int_equal(exit_fate(status_of(0, 0)), FATE_CLEAN);
	assert_string_equal(text, "exited");
	assert_int_equal(exit_fate(status_of(3, 0)), FATE_CANNOT_BOOT);
	assert_string_equal(text, "exited with status 3");
	assert_int_equal(exit_fate(status_of(4, 0)), FATE_CANNOT_LOAD);
	assert_int_equal(exit_fate(status_of(1, 0)), FATE_CRASHED);
	assert_string_equal(text, "exited with status 1");
}

static void
a_signal_is_told_by_name(void **state)
{
	(void)state;
	assert_int_equal(exit_fate(status_of(0, SIGKILL)), FATE_CRASHED);
	assert_string_equal(text, "was killed by SIGKILL");
	assert_int_equal(exit_fate(status_of(0, SIGRTMIN + 1)), FATE_CRASHED);
	assert_memory_equal(text, "was killed by signal ", 21);
}

static void
a_core_dump_is_told(void **state)
{
	(void)state;
	exit_text(SIGSEGV | WCOREFLAG, text, sizeof text);
	assert_string_equal(text, "was killed by SIGSEGV (core dumped)");
	exit_text((SIGRTMIN + 1) | WCOREFLAG, text, sizeof text);
	assert_non_null(strstr(text, " (core dumped)"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_exit_is_told_with_its_status),
		cmocka_unit_test(a_signal_is_told_by_name),
		cmocka_unit_test(a_core_dump_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
