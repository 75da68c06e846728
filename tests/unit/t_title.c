/* What ps shows.  Runs itself again with arguments that it knows. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fd.h"
#include "common/title.h"

/* This program's own, for title_init(). */
static int own_argc;
static char **own_argv;

static const char *
shown(void)
{
	static char text[4096];
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof text - 1);

	fd_close(&fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void
the_title_replaces_the_command_line(void **state)
{
	(void)state;
	title_set("worker %d gen %d", 3, 7);
	assert_string_equal(shown(), "prefork: worker 3 gen 7");
	title_set("x");
	assert_string_equal(shown(), "prefork: x");
}

static void
arguments_and_environment_stay_as_they_were(void **state)
{
	(void)state;
	title_set("something that is longer than the name of this program");
	assert_string_equal(own_argv[1], "argument");
	assert_null(own_argv[own_argc]);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	assert_string_equal(getenv("T_TITLE"), "value");
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	assert_int_equal(setenv("T_TITLE", "other", 1), 0);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	assert_string_equal(getenv("T_TITLE"), "other");
}

static void
a_title_without_room_is_cut(void **state)
{
	char text[8192];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	title_set("%s", text);
	assert_memory_equal(shown(), "prefork: xxx", 12);
	assert_string_equal(own_argv[1], "argument");
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_title_replaces_the_command_line),
		cmocka_unit_test(arguments_and_environment_stay_as_they_were),
		cmocka_unit_test(a_title_without_room_is_cut),
	};
	char self[] = "/proc/self/exe", argument[] = "argument",
	     variable[] = "T_TITLE=value";
	char *again[] = { argv[0], argument, NULL };
	char *environment[] = { variable, NULL };

	title_set("before title_init() nothing happens");
	if (argc == 1) {
		execve(self, again, environment);
		return 1;
	}
	own_argc = argc;
	own_argv = argv;
	title_init(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
