/* Where a server keeps what exists only while it runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/load.h"
#include "conf/runtime.h"
#include "conf/settings.h"

/* With these options alone. */
static struct settings *
load(const char *const *opts, size_t n)
{
	static const char *const environment[] = { NULL };
	struct settings_source source = { .opts = opts,
		.n_opts = n,
		.target = ".",
		.environment = environment };
	struct settings *s = settings_load(&source, stderr);

	assert_non_null(s);
	return s;
}

static void
a_control_path_is_taken_as_it_stands(void **state)
{
	static const char *const opts[] = { "admin.control=/x/y.ctl",
		"server.runtime_dir=/z" };
	struct settings *s = load(opts, 2);
	char path[RUNTIME_PATH_MAX];

	(void)state;
	assert_true(runtime_control(s, path, sizeof path));
	assert_string_equal(path, "/x/y.ctl");
	assert_false(runtime_is_default(s));
	runtime_dir(s, path, sizeof path);
	assert_string_equal(path, "/z");
	settings_free(&s);
}

static void
without_one_it_is_in_the_runtime_dir(void **state)
{
	static const char *const opts[] = { "server.runtime_dir=/z" };
	struct settings *s = load(opts, 1);
	char path[RUNTIME_PATH_MAX];

	(void)state;
	assert_true(runtime_control(s, path, sizeof path));
	assert_string_equal(path, "/z/prefork.ctl");
	assert_false(runtime_is_default(s));
	settings_free(&s);
}

static void
off_is_off(void **state)
{
	static const char *const opts[] = { "admin.control=off" };
	struct settings *s = load(opts, 1);
	char path[RUNTIME_PATH_MAX];

	(void)state;
	assert_false(runtime_control(s, path, sizeof path));
	settings_free(&s);
}

static void
check_default(uid_t uid, const char *xdg, const char *expected)
{
	char path[RUNTIME_PATH_MAX];
	uid_t was = geteuid();

	/* NOLINTBEGIN(concurrency-mt-unsafe): one thread */
	if (xdg != NULL)
		setenv("XDG_RUNTIME_DIR", xdg, 1);
	else
		unsetenv("XDG_RUNTIME_DIR");
	/* NOLINTEND(concurrency-mt-unsafe) */
	assert_int_equal(seteuid(uid), 0);
	assert_true(runtime_control(NULL, path, sizeof path));
	assert_int_equal(seteuid(was), 0);
	assert_string_equal(path, expected);
}

static void
the_default_is_that_of_the_user(void **state)
{
	uid_t uid = geteuid() == 0 ? 65534 : geteuid();
	struct settings *s = load(NULL, 0);
	char path[64];

	(void)state;
	assert_true(runtime_is_default(s));
	settings_free(&s);
	snprintf(path, sizeof path, "/tmp/prefork-%u/prefork.ctl",
	    (unsigned)uid);
	check_default(uid, NULL, path);
	check_default(uid, "not/absolute", path);
	check_default(uid, "/run/user/7", "/run/user/7/prefork/prefork.ctl");
	if (geteuid() == 0)
		check_default(0, "/run/user/7", "/run/prefork/prefork.ctl");
}

int
main(void)
{
#define T(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		T(a_control_path_is_taken_as_it_stands),
		T(without_one_it_is_in_the_runtime_dir),
		T(off_is_off),
		T(the_default_is_that_of_the_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
