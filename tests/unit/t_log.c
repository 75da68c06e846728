/* The error log, line by line. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/assert.h"
#include "common/fd.h"
#include "common/log.h"

static int out[2];
static char line[8192];

static int
open_log(void **state)
{
	(void)state;
	if (pipe(out) < 0)
		return -1;
	log_set_fd(out[1]);
	log_set_level(LOG_INFO);
	log_set_who("worker 1");
	return fd_set_nonblocking(out[0]);
}

static int
close_log(void **state)
{
	(void)state;
	log_set_fd(STDERR_FILENO);
	fd_close(&out[0]);
	fd_close(&out[1]);
	return 0;
}

/* What one write() brought; empty if there was none. */
static const char *
logged(void)
{
	ssize_t n = read(out[0], line, sizeof line - 1);

	line[n > 0 ? n : 0] = '\0';
	return line;
}

static void
assert_matches(const char *text, const char *pattern)
{
	regex_t re;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&re, text, 0, NULL, 0) != 0)
		fail_msg("\"%s\" does not match %s", text, pattern);
	regfree(&re);
}

static void
a_line_says_when_how_bad_and_who(void **state)
{
	(void)state;
	log_warnx("text %d", 7);
	assert_matches(logged(),
	    "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} "
	    "[+-][0-9]{4} \\[warn\\] worker 1 \\([0-9]+\\): text 7\n$");
}

static void
the_variants_without_x_append_the_error_and_keep_it(void **state)
{
	(void)state;
	errno = ENOENT;
	log_error("file");
	assert_int_equal(errno, ENOENT);
	assert_matches(logged(),
	    "\\[error\\] .*: file: No such file or directory\n$");
	errno = ENOENT;
	log_errorx("file");
	assert_int_equal(errno, ENOENT);
	assert_matches(logged(), ": file\n$");
	errno = EACCES;
	log_warn("file");
	assert_matches(logged(), ": file: Permission denied\n$");
}

static void
lines_below_the_level_are_dropped(void **state)
{
	(void)state;
	log_debug("detail");
	assert_string_equal(logged(), "");
	log_set_level(LOG_DEBUG);
	log_debug("detail");
	assert_matches(logged(), "\\[debug\\]");
	log_set_level(LOG_ERROR);
	log_warnx("warning");
	log_info("event");
	log_at(LOG_WARN, "value");
	assert_string_equal(logged(), "");
	log_at(LOG_ERROR, "value");
	assert_matches(logged(), "\\[error\\].*value");
}

/* In a pipe with O_DIRECT each write() is a packet. */
static void
a_line_and_the_text_below_it_are_one_write(void **state)
{
	static const char text[] = "Traceback:\n\tof it\n";

	(void)state;
	assert_int_equal(fcntl(out[1], F_SETFL, O_DIRECT), 0);
	errno = ENOENT;
	log_text_at(LOG_WARN, text, sizeof text - 1, "text %d", 7);
	assert_int_equal(errno, ENOENT);
	log_info("next");
	assert_matches(logged(),
	    "\\[warn\\] worker 1 .*: text 7\nTraceback:\n\tof it\n$");
	assert_matches(logged(), "^[^\n]*: next\n$");
	log_text_at(LOG_DEBUG, text, sizeof text - 1, "detail");
	assert_string_equal(logged(), "");
}

static void *
count_to_the_end(void *n)
{
	char buf[1000];
	ssize_t got;

	while ((got = read(out[0], buf, sizeof buf)) != 0)
		*(size_t *)n += got > 0 ? (size_t)got : 0;
	return NULL;
}

/* What fits into a pipe is taken first, the rest as it is read. */
static void
a_text_that_is_taken_in_pieces_is_written_whole(void **state)
{
	static char text[1000000];
	pthread_t reader;
	size_t n = 0;

	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\n';
	assert_int_equal(fcntl(out[0], F_SETFL, 0), 0);
	assert_int_equal(pthread_create(&reader, NULL, count_to_the_end, &n),
	    0);
	log_text_at(LOG_WARN, text, sizeof text, "%s", "");
	log_set_fd(STDERR_FILENO);
	fd_close(&out[1]);
	pthread_join(reader, NULL);
	assert_in_range(n, sizeof text + 30, sizeof text + 80);
}

static void
no_text_can_forge_a_line(void **state)
{
	(void)state;
	log_info("%s", "a\n2026-01-01 [error] b\r\x1b[31m\x7f\tc");
	assert_matches(logged(),
	    ": a\\\\x0a2026-01-01 \\[error\\] b\\\\x0d\\\\x1b\\[31m\\\\x7f"
	    "\\\\x09c\n$");
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void
text_beyond_ascii_stays_readable(void **state)
{
	(void)state;
	log_info("%s", "gr\xc3\xbc\xc3\x9f");
	assert_matches(logged(), "gr\xc3\xbc\xc3\x9f\n$");
}

static void
a_long_line_is_cut_and_shows_it(void **state)
{
	char text[6000];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	log_info("%s", text);
	assert_matches(logged(), "xxx\\.\\.\\.\n$");
	assert_int_equal(strlen(line), 4096);
	log_error("%s", text);
	assert_matches(logged(), "xxx\\.\\.\\.\n$");
	assert_int_equal(strlen(line), 4096);
	memset(text, '\n', sizeof text - 1);
	log_info("%s", text);
	assert_matches(logged(), "\\\\x0a\\.\\.\\.\n$");
	assert_true(strlen(line) <= 4096);
}

static void *
chatter(void *text)
{
	for (int i = 0; i < 50; i++)
		log_info("%s", (const char *)text);
	return NULL;
}

static void
lines_of_threads_do_not_mix(void **state)
{
	static char a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static char b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
	pthread_t thread;
	char all[32768];
	size_t n = 0;
	ssize_t got;
	char *rest = all, *l;
	int lines = 0;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, chatter, a), 0);
	chatter(b);
	assert_int_equal(pthread_join(thread, NULL), 0);
	while ((got = read(out[0], all + n, sizeof all - 1 - n)) > 0)
		n += (size_t)got;
	all[n] = '\0';
	while ((l = strsep(&rest, "\n")) != NULL && *l != '\0') {
		assert_matches(l, "\\): (a{48}|b{48})$");
		lines++;
	}
	assert_int_equal(lines, 100);
}

/* What a child that ran f() logged; its wait status. */
static int
in_child(void (*f)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		f();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
end_fatally(void)
{
	errno = ENOENT;
	fatal("file");
}

static void
end_fatally_without_errno(void)
{
	fatalx("file");
}

static void
break_an_invariant(void)
{
	pf_assert(1 + 1 == 2);
	pf_assert(1 + 1 == 3);
}

static void
fatal_errors_are_logged_and_exit_1(void **state)
{
	int status;

	(void)state;
	status = in_child(end_fatally);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_matches(logged(), "\\[error\\].*: file: No such file");
	status = in_child(end_fatally_without_errno);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_matches(logged(), ": file\n$");
}

static void
a_broken_invariant_names_its_place_and_aborts(void **state)
{
	int status = in_child(break_an_invariant);

	(void)state;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_matches(logged(),
	    "\\[error\\].*bug: 1 \\+ 1 == 3 does not hold, .*t_log\\.c:[0-9]+");
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_log, close_log)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_line_says_when_how_bad_and_who),
		T(the_variants_without_x_append_the_error_and_keep_it),
		T(lines_below_the_level_are_dropped),
		T(a_line_and_the_text_below_it_are_one_write),
		T(a_text_that_is_taken_in_pieces_is_written_whole),
		T(no_text_can_forge_a_line),
		T(text_beyond_ascii_stays_readable),
		T(a_long_line_is_cut_and_shows_it),
		T(lines_of_threads_do_not_mix),
		T(fatal_errors_are_logged_and_exit_1),
		T(a_broken_invariant_names_its_place_and_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
