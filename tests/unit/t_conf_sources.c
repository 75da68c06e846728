#include "tests/unit/t_conf.h"

#include <sys/stat.h>
#include <unistd.h>

#include "conf/table.h"

static const char file_text[] = "[server]\nworkers = 3\nbind = :81\n" AN_APP;

#define OPTS(...)                                                              \
	.opts = (const char *const[]){ __VA_ARGS__ },                          \
	.n_opts =                                                              \
	    sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

static void
assert_source_refused(struct settings_source src, const char *errors)
{
	struct loaded l = load_from(src, file_text, sizeof file_text - 1);

	assert_string_equal(l.errors, errors);
	assert_null(l.st);
	loaded_free(&l);
}

static struct loaded
assert_source_loads(struct settings_source src)
{
	struct loaded l = load_from(src, file_text, sizeof file_text - 1);

	assert_string_equal(l.errors, "");
	assert_non_null(l.st);
	return l;
}

static void
an_option_overrules_the_file_and_the_last_one_counts(void **state)
{
	struct loaded l = assert_source_loads(
	    (struct settings_source){ OPTS("server.workers=4",
		"server.workers = 5", "log.level=debug", "app:a.mount=/x",
		"app:a.option.a.b=c=d", "server.env.X= y ") });

	(void)state;
	assert_int_equal(l.st->workers, 5);
	assert_int_equal(l.st->origins[ROW_server_workers].kind, ORIGIN_OPTION);
	assert_int_equal(l.st->origins[ROW_server_bind].kind, ORIGIN_FILE);
	assert_int_equal(l.st->origins[ROW_server_bind].line, 3);
	assert_string_equal(l.st->apps[0].mount, "/x");
	assert_string_equal(l.st->apps[0].options[0].key, "a.b");
	assert_string_equal(l.st->apps[0].options[0].value, "c=d");
	assert_string_equal(l.st->env[0].value, "y");
	loaded_free(&l);
}

static void
options_alone_can_make_an_application(void **state)
{
	struct settings_source src = { OPTS("app:x.type=static",
	    "app:x.target=/srv") };
	struct loaded l = load_source(src);

	(void)state;
	assert_string_equal(l.errors, "");
	assert_string_equal(l.st->apps[0].name, "x");
	assert_null(l.st->file);
	loaded_free(&l);
}

static void
a_wrong_option_is_told_as_it_was_given(void **state)
{
	(void)state;
	assert_source_refused((struct settings_source){ OPTS("server.workers=0",
				  "workers=2", "nothing", "srever.workers=1",
				  "http.max_heder=1", "app.type=x",
				  "app:b.mount=/b", "server.=1",
				  "server.user=a ;b", "server.user=a\nb") },
	    "-o server.workers=0: too small; must be auto or a number from 1 "
	    "to 1024\n"
	    "-o workers=2: must be SECTION.KEY=VALUE\n"
	    "-o nothing: must be SECTION.KEY=VALUE\n"
	    "-o srever.workers=1: no such section; did you mean [server]?\n"
	    "-o http.max_heder=1: no such setting; did you mean max_header?\n"
	    "-o app.type=x: no such section; did you mean [app:NAME]?\n"
	    "-o server.=1: must be SECTION.KEY=VALUE\n"
	    "-o server.user=a ;b: has a ; after a space, which begins a "
	    "comment\n"
	    "-o server.user=a?b: has a control character\n"
	    "-o: [app:b]: has no type; must be static, module or "
	    "wsgi\n"
	    "-o: [app:b]: has no target; must be 1 to 4095 bytes\n");
}

/* The reason stands behind it, and a line of the log has an end. */
static void
a_long_value_is_cut_in_a_mistake(void **state)
{
	char opt[1000], want[1000];
	struct settings_source src = { .opts = (const char *[]){ opt },
		.n_opts = 1 };

	(void)state;
	snprintf(opt, sizeof opt, "server.workers=%0900d", 0);
	snprintf(want, sizeof want,
	    "-o server.workers=%0185d...: too small; must be auto or a number "
	    "from 1 to 1024\n",
	    0);
	assert_source_refused(src, want);
}

static void
the_environment_gives_defaults_that_the_file_overrules(void **state)
{
	static const char *const environment[] = { "XPORT=1", "PORT=9000",
		"WEB_CONCURRENCY=7", NULL };
	struct settings_source opts = { OPTS("app:x.type=static",
					    "app:x.target=/srv"),
		.environment = environment };
	struct loaded l;

	(void)state;
	l = load_source(opts);
	assert_string_equal(l.errors, "");
	assert_string_equal(l.st->bind.at[0].spec, "0.0.0.0:9000");
	assert_int_equal(l.st->workers, 7);
	assert_string_equal(l.st->origins[ROW_server_bind].variable, "PORT");
	loaded_free(&l);
	l = assert_source_loads(
	    (struct settings_source){ .environment = environment });
	assert_string_equal(l.st->bind.at[0].spec, "0.0.0.0:81");
	assert_int_equal(l.st->workers, 3);
	loaded_free(&l);
}

static void
a_wrong_environment_is_a_mistake_even_when_overruled(void **state)
{
	static const struct {
		const char *environment[3], *errors;
	} cases[] = {
		{ { "PORT=http", "WEB_CONCURRENCY=many" },
		    "environment PORT: http: must be a number from 0 to "
		    "65535\n"
		    "environment WEB_CONCURRENCY: many: must be auto or a "
		    "number from 1 to 1024\n" },
		{ { "PORT=65536", "WEB_CONCURRENCY=0" },
		    "environment PORT: 65536: must be a number from 0 to "
		    "65535\n"
		    "environment WEB_CONCURRENCY: 0: too small; must be auto "
		    "or a number from 1 to 1024\n" },
		{ { "PORT=80 " },
		    "environment PORT: 80 : must be a number from 0 to "
		    "65535\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_source_refused(
		    (struct settings_source){
			.environment = cases[i].environment },
		    cases[i].errors);
}

static void
an_empty_variable_counts_as_unset(void **state)
{
	static const char *const environment[] = { "PORT=", "WEB_CONCURRENCY=",
		"FORWARDED_ALLOW_IPS=", NULL };
	struct settings_source opts = { OPTS("app:x.type=static",
					    "app:x.target=/srv"),
		.environment = environment };
	struct loaded l;

	(void)state;
	l = load_source(opts);
	assert_string_equal(l.errors, "");
	assert_string_equal(l.st->bind.at[0].spec, "127.0.0.1:8000");
	assert_true(l.st->workers_auto);
	assert_int_equal(l.st->proxy_trust.n, 2);
	assert_in_range(l.st->workers, 1, 1024);
	loaded_free(&l);
}

static void
assert_target(const char *target, enum app_type type)
{
	struct settings_source src = { .target = target };
	struct loaded l = load_source(src);

	assert_string_equal(l.errors, "");
	assert_int_equal(l.st->n_apps, 1);
	assert_string_equal(l.st->apps[0].name, "main");
	assert_string_equal(l.st->apps[0].target, target);
	assert_string_equal(l.st->apps[0].mount, "");
	assert_int_equal(l.st->apps[0].type, type);
	assert_int_equal(l.st->apps[0].origins[ROW_app_target].kind,
	    ORIGIN_TARGET);
	loaded_free(&l);
}

static void
assert_target_refused(const char *target, const char *why)
{
	struct settings_source src = { .target = target };
	struct loaded l = load_source(src);
	char want[200];

	snprintf(want, sizeof want, "target %s: %s\n", target, why);
	assert_string_equal(l.errors, want);
	assert_null(l.st);
	loaded_free(&l);
}

static void
a_target_is_a_directory_a_module_or_in_python(void **state)
{
	char dir[] = "/tmp/t_conf_XXXXXX", so[64], other[64], none[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(so, sizeof so, "%s/x.so", dir);
	snprintf(other, sizeof other, "%s/x.txt", dir);
	snprintf(none, sizeof none, "%s/none.so", dir);
	fclose(fopen(so, "we"));
	fclose(fopen(other, "we"));
	assert_target(dir, APP_STATIC);
	assert_target(so, APP_MODULE);
	assert_target("installed-with-prefork.so", APP_MODULE);
	assert_target("shop.wsgi", APP_WSGI);
	assert_target("shop.wsgi:application", APP_WSGI);
	assert_target("shop:make_app(\"x.y\")", APP_WSGI);
	assert_target("dir/x.py:app", APP_WSGI);
	assert_target("dir/x.py", APP_WSGI);
	assert_target_refused("dir/none", "No such file or directory");
	assert_target_refused("shop..wsgi:app", "No such file or directory");
	assert_target_refused("shop.", "No such file or directory");
	assert_target_refused(".shop", "No such file or directory");
	assert_target_refused("3shop:app", "No such file or directory");
	assert_target_refused(other,
	    "must be a directory of files, a module whose name ends in .so, or "
	    "MODULE:OBJECT in Python");
	assert_target_refused(none, "No such file or directory");
	assert_target_refused("", "No such file or directory");
	assert_int_equal(unlink(so), 0);
	assert_int_equal(unlink(other), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void
a_target_is_added_to_the_file_unless_its_mount_is_taken(void **state)
{
	struct loaded l;

	(void)state;
	assert_source_refused((struct settings_source){ .target = "/" },
	    "target /: [app:main] mount = /: [app:a] has the same mount and "
	    "host\n");
	l = assert_source_loads(
	    (struct settings_source){ .target = "/", OPTS("app:a.mount=/a") });
	assert_int_equal(l.st->n_apps, 2);
	loaded_free(&l);
	l = assert_source_loads((struct settings_source){ .target = "/",
	    OPTS("app:main.mount=/main") });
	assert_int_equal(l.st->n_apps, 2);
	assert_string_equal(l.st->apps[1].mount, "/main");
	loaded_free(&l);
}

static void
no_source_at_all_has_nothing_to_serve(void **state)
{
	struct settings_source src = { .n_opts = 0 };
	struct loaded l = load_source(src);

	(void)state;
	assert_string_equal(l.errors,
	    "no [app:NAME] section: nothing to serve; add one with type and "
	    "target, or name a TARGET\n");
	loaded_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    an_option_overrules_the_file_and_the_last_one_counts),
		cmocka_unit_test(options_alone_can_make_an_application),
		cmocka_unit_test(a_wrong_option_is_told_as_it_was_given),
		cmocka_unit_test(a_long_value_is_cut_in_a_mistake),
		cmocka_unit_test(
		    the_environment_gives_defaults_that_the_file_overrules),
		cmocka_unit_test(
		    a_wrong_environment_is_a_mistake_even_when_overruled),
		cmocka_unit_test(an_empty_variable_counts_as_unset),
		cmocka_unit_test(a_target_is_a_directory_a_module_or_in_python),
		cmocka_unit_test(
		    a_target_is_added_to_the_file_unless_its_mount_is_taken),
		cmocka_unit_test(no_source_at_all_has_nothing_to_serve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
