#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/python_module.h"

/* ---- a line ------------------------------------------------------------- */

static void
the_version_is_read_as_both_kinds_of_venv_write_it(void **state)
{
	static const struct {
		const char *line;
		unsigned major, minor;
	} good[] = {
		{ "version = 3.11.2\n", 3, 11 },
		{ "version=3.9.0", 3, 9 },
		{ "  version\t=\t3.12.1\r\n", 3, 12 },
		{ "version_info = 3.13.0.final.0\n", 3, 13 },
		{ "version = 3.14", 3, 14 },
		{ "version = 3.15.0a1+\n", 3, 15 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		unsigned major = 0, minor = 0;

		assert_int_equal(python_version_line(good[i].line, &major,
				     &minor),
		    1);
		assert_int_equal(major, good[i].major);
		assert_int_equal(minor, good[i].minor);
	}
}

static void
other_lines_tell_no_version(void **state)
{
	static const char *const other[] = { "", "\n", "home = /usr/bin\n",
		"version\n", "version = \n", "version = three\n",
		"version = 3\n", "versions = 3.11\n", "xversion = 3.11\n",
		"version_infos = 3.11\n", "# version = 3.11\n",
		"include-system-site-packages = false\n",
		"executable = /usr/bin/version = 3.11\n" };

	(void)state;
	for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
		unsigned major = 0, minor = 0;

		assert_int_equal(python_version_line(other[i], &major, &minor),
		    0);
	}
}

/* ---- a directory -------------------------------------------------------- */

struct venv {
	char dir[64], cfg[96], name[32], err[256];
};

static int
make(void **state)
{
	static struct venv v;

	snprintf(v.dir, sizeof v.dir, "/tmp/t_python_module.XXXXXX");
	if (mkdtemp(v.dir) == NULL)
		return -1;
	snprintf(v.cfg, sizeof v.cfg, "%s/pyvenv.cfg", v.dir);
	v.name[0] = v.err[0] = '\0';
	*state = &v;
	return 0;
}

static int
unmake(void **state)
{
	struct venv *v = *state;

	unlink(v->cfg);
	rmdir(v->dir);
	return 0;
}

static int
name_of(struct venv *v, const char *cfg)
{
	FILE *out = fopen(v->cfg, "we");

	assert_non_null(out);
	fputs(cfg, out);
	fclose(out);
	return python_module_name(v->dir, v->name, sizeof v->name, v->err,
	    sizeof v->err);
}

static void
without_a_venv_it_is_the_systems(void **state)
{
	struct venv *v = *state;

	assert_int_equal(python_module_name("", v->name, sizeof v->name, v->err,
			     sizeof v->err),
	    0);
	assert_string_equal(v->name, "python3.so");
}

static void
the_venv_decides(void **state)
{
	struct venv *v = *state;

	assert_int_equal(name_of(v,
			     "home = /usr/bin\n"
			     "include-system-site-packages = false\n"
			     "version = 3.12.4\n"),
	    0);
	assert_string_equal(v->name, "python3.12.so");
	assert_int_equal(name_of(v,
			     "implementation = CPython\n"
			     "version_info = 3.10.1.final.0\n"
			     "version = 3.9.9\n"),
	    0);
	assert_string_equal(v->name, "python3.10.so");
}

static void
what_is_no_venv_is_said(void **state)
{
	struct venv *v = *state;

	assert_int_equal(python_module_name(v->dir, v->name, sizeof v->name,
			     v->err, sizeof v->err),
	    -1);
	assert_non_null(strstr(v->err, "not a virtual environment"));
	assert_non_null(strstr(v->err, v->cfg));
	assert_non_null(strstr(v->err, "No such file or directory"));
}

static void
a_venv_without_a_version_is_said(void **state)
{
	struct venv *v = *state;

	assert_int_equal(name_of(v, "home = /usr/bin\n"), -1);
	assert_non_null(strstr(v->err, "no line with the version"));
	assert_int_equal(name_of(v, ""), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    the_version_is_read_as_both_kinds_of_venv_write_it),
		cmocka_unit_test(other_lines_tell_no_version),
		cmocka_unit_test_setup_teardown(
		    without_a_venv_it_is_the_systems, make, unmake),
		cmocka_unit_test_setup_teardown(the_venv_decides, make, unmake),
		cmocka_unit_test_setup_teardown(what_is_no_venv_is_said, make,
		    unmake),
		cmocka_unit_test_setup_teardown(
		    a_venv_without_a_version_is_said, make, unmake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
