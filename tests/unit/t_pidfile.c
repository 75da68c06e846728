/* The pidfile: locked, never stale, removed only by its owner. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fd.h"
#include "master/pidfile.h"

static char directory[] = "/tmp/t_pidfile_XXXXXX";
static char path[64], err[128];

static int
make_directory(void **state)
{
	(void)state;
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/pid", directory);
	return 0;
}

static int
remove_directory(void **state)
{
	(void)state;
	return rmdir(directory); /* fails when a test left something */
}

static void
write_file(const char *text)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	fd_close(&fd);
}

static void
assert_holds_our_pid(void)
{
	char text[32] = "", want[32];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(read(fd, text, sizeof text - 1) > 0);
	fd_close(&fd);
	snprintf(want, sizeof want, "%d\n", (int)getpid());
	assert_string_equal(text, want);
}

static void
it_holds_the_pid_and_goes_when_closed(void **state)
{
	struct pidfile p;

	(void)state;
	assert_int_equal(pidfile_open(&p, path, err, sizeof err), 0);
	assert_holds_our_pid();
	pidfile_close(&p);
	assert_int_equal(access(path, F_OK), -1);
	pidfile_close(&p); /* twice is fine */
}

static void
a_file_left_by_a_dead_master_is_taken_over(void **state)
{
	struct pidfile p;

	(void)state;
	write_file("1234567890\nand more than a pid has\n");
	assert_int_equal(pidfile_open(&p, path, err, sizeof err), 0);
	assert_holds_our_pid();
	pidfile_close(&p);
}

static void
a_second_master_is_told_who_runs(void **state)
{
	struct pidfile p, second;
	char want[64];

	(void)state;
	assert_int_equal(pidfile_open(&p, path, err, sizeof err), 0);
	assert_int_equal(pidfile_open(&second, path, err, sizeof err), -1);
	snprintf(want, sizeof want, "already running as PID %d", (int)getpid());
	assert_string_equal(err, want);
	assert_holds_our_pid();
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(pidfile_open(&second, path, err, sizeof err), -1);
	assert_string_equal(err, "already running");
	pidfile_close(&p);
}

static void
a_file_that_was_replaced_is_not_removed(void **state)
{
	struct pidfile p;

	(void)state;
	assert_int_equal(pidfile_open(&p, path, err, sizeof err), 0);
	assert_int_equal(unlink(path), 0);
	write_file("somebody else's\n");
	pidfile_close(&p);
	assert_int_equal(unlink(path), 0);
}

static void
a_link_is_not_followed(void **state)
{
	struct pidfile p;

	(void)state;
	assert_int_equal(symlink("/tmp/t_pidfile_elsewhere", path), 0);
	assert_int_equal(pidfile_open(&p, path, err, sizeof err), -1);
	assert_int_equal(access("/tmp/t_pidfile_elsewhere", F_OK), -1);
	assert_int_equal(unlink(path), 0);
}

static void
a_directory_that_is_not_there_is_an_error(void **state)
{
	struct pidfile p;

	(void)state;
	assert_int_equal(pidfile_open(&p, "/nonexistent/pid", err, sizeof err),
	    -1);
	assert_string_equal(err, "No such file or directory");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_holds_the_pid_and_goes_when_closed),
		cmocka_unit_test(a_file_left_by_a_dead_master_is_taken_over),
		cmocka_unit_test(a_second_master_is_told_who_runs),
		cmocka_unit_test(a_file_that_was_replaced_is_not_removed),
		cmocka_unit_test(a_link_is_not_followed),
		cmocka_unit_test(a_directory_that_is_not_there_is_an_error),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
