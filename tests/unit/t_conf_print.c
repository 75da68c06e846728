#include "tests/unit/t_conf.h"

#include "conf/ini.h"
#include "conf/table.h"
#include "conf/types.h"

/* The caller frees it. */
static char *
printed_by(void (*print)(const struct settings *, FILE *),
    const struct settings *st)
{
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	print(st, out);
	fclose(out);
	return text;
}

static char *
printed(const struct settings *st)
{
	return printed_by(settings_print, st);
}

static char *
printed_options(const struct settings *st)
{
	return printed_by(settings_print_options, st);
}

/* Through storage that outlives the call: gcc takes the text for a pointer to
 * the variable that the stream fills. */
static char *
written_by(void (*write)(FILE *))
{
	static char *text;
	static size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	write(out);
	fclose(out);
	return text;
}

static char *
value_of(const void *base, const struct setting *s)
{
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	s->type->print(setting_value(base, s), out);
	fclose(out);
	return text;
}

static void
assert_same_rows(const void *a, const void *b, bool app)
{
	for (int i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);
		char *x, *y;

		if (setting_is_app(s) != app)
			continue;
		x = value_of(a, s);
		y = value_of(b, s);
		assert_string_equal(x, y);
		free(x);
		free(y);
	}
}

static void
assert_same_pairs(const struct pair *a, size_t a_n, const struct pair *b,
    size_t b_n)
{
	assert_int_equal(a_n, b_n);
	for (size_t i = 0; i < a_n; i++) {
		assert_string_equal(a[i].key, b[i].key);
		assert_string_equal(a[i].value, b[i].value);
	}
}

static void
assert_same_settings(const struct settings *a, const struct settings *b)
{
	assert_same_rows(a, b, false);
	assert_int_equal(a->workers_auto, b->workers_auto);
	assert_same_pairs(a->env, a->n_env, b->env, b->n_env);
	assert_int_equal(a->n_apps, b->n_apps);
	for (size_t i = 0; i < a->n_apps; i++) {
		const struct app_settings *x = &a->apps[i], *y = &b->apps[i];

		assert_string_equal(x->name, y->name);
		assert_same_rows(x, y, true);
		assert_same_pairs(x->options, x->n_options, y->options,
		    y->n_options);
	}
}

static const char every_setting[] =
    "[server]\nbind = :81, [::1]:82, unix:/run/a b, fd://5\nworkers = 3\n"
    "threads = 2-9\nbacklog = 77\nuser = u\ngroup = g\numask = 27\n"
    "no_new_privs = no\nsandbox = no\nlimit_core = 1M\n"
    "socket_mode = 600\nsocket_owner = a:b\nchdir = /srv\npidfile = /p\n"
    "runtime_dir = /r\npreload = yes\n"
    "boot_timeout = 1m\ngraceful_timeout = 90\nrequest_timeout = 250ms\n"
    "stall_timeout = 20s\nshutdown_delay = 3s\nmax_requests = 1000\n"
    "max_requests_jitter = 5%\nmax_lifetime = 1d\nmax_memory = 1G\n"
    "max_memory_hard = 2G\n"
    "connections = 9\nmax_connections_per_ip = 3\nqueue = 8\nqueue_timeout = "
    "7s\nenv.A = 1 2\nenv.B =\n"
    "[http]\nheader_timeout = 1s\nbody_timeout = 2s\nsend_timeout = 3s\n"
    "min_rate = 100\nkeepalive_timeout = 4s\nmax_keepalive_requests = 5\n"
    "max_request_line = 1k\nmax_headers = 6\nmax_header = 2k\n"
    "max_head = 3k\nmax_body = 5M\nbody_memory = 4k\nbody_dir = /var/tmp\n"
    "server_header = no\n"
    "[proxy]\ntrust = 10.0.0.0/8, 2001:db8::/32, unix\n"
    "fields = X-Forwarded-Proto, X-Forwarded-For\n"
    "protocol = [::1]:82, unix:/run/a b\n[log]\nerror = e.log\nlevel = debug\n"
    "access = stdout\n[admin]\ncontrol = off\n"
    "[app:one]\ntype = wsgi\ntarget = shop.wsgi:app\nmount = /one/\n"
    "host = One.Example\nrequest_timeout = 1d\nmax_body = 1G\nmin_rate = 0\n"
    "stream = yes\n"
    "warmup = /up?x=1\nvenv = /srv/venv\npythonpath = lib:vendor\n"
    "[app:two]\ntype = module\ntarget = two.so\noption.z = a;b # c\n"
    "option.empty =\n";

static struct settings *
load_options(char *text)
{
	const char *opts[600];
	struct settings_source src = { .opts = opts };
	struct loaded l;

	while (text != NULL && *text != '\0')
		opts[src.n_opts++] = strsep(&text, "\n");
	l = load_source(src);
	assert_string_equal(l.errors, "");
	free(l.errors);
	return l.st;
}

/* As a file and as options. */
static void
assert_prints_what_loads(const char *text)
{
	struct loaded l = assert_loads(text), again;
	struct settings *from_options;
	char *got = printed(l.st), *options = printed_options(l.st);

	again = assert_loads(got);
	assert_same_settings(l.st, again.st);
	from_options = load_options(options);
	assert_same_settings(l.st, from_options);
	settings_free(&from_options);
	free(options);
	free(got);
	loaded_free(&again);
	loaded_free(&l);
}

static void
what_is_printed_loads_to_the_same_settings(void **state)
{
	(void)state;
	assert_prints_what_loads(AN_APP);
	assert_prints_what_loads(every_setting);
}

/* Guards the test above against a setting that it forgets. */
static void
the_text_with_every_setting_has_every_setting(void **state)
{
	struct loaded l = assert_loads(every_setting);

	(void)state;
	for (int i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);
		const struct origin *o =
		    setting_is_app(s) ? l.st->apps[0].origins : l.st->origins;

		assert_int_equal(o[i].kind, ORIGIN_FILE);
	}
	loaded_free(&l);
}

static void
every_value_is_printed_with_its_origin(void **state)
{
	static const char *const opts[] = { "log.level=warn",
		"app:a.option.o=1" };
	static const char *const environment[] = { "PORT=99", NULL };
	static const char *const lines[] = {
		"\nbind = 0.0.0.0:99                        ; environment "
		"PORT\n",
		"\nbacklog = 5                              ; server.ini:2\n",
		"\nenv.X = 1                                ; server.ini:3\n",
		"\nqueue = 64                               ; default\n",
		"\nlevel = warn                             ; -o\n",
		"\ntype = module                            ; server.ini:5\n",
		"\nmax_body = 16M                           ; default, as the "
		"server's\n",
		"\noption.o = 1                             ; -o\n",
		"\n[app:main]\ntype = static                            ; "
		"target\n",
	};
	static const char text[] = "[server]\nbacklog = 5\nenv.X = 1\n"
				   "[app:a]\ntype = module\ntarget = a.so\n"
				   "mount = /a\n";
	struct loaded l;
	char *got;

	(void)state;
	l = load_from((struct settings_source){ .opts = opts,
			  .n_opts = 2,
			  .target = "/",
			  .environment = environment },
	    text, sizeof text - 1);
	assert_string_equal(l.errors, "");
	got = printed(l.st);
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		if (strstr(got, lines[i]) == NULL)
			fail_msg("no line%sin:\n%s", lines[i], got);
	free(got);
	loaded_free(&l);
}

static void
automatic_workers_are_printed_as_auto_with_their_number(void **state)
{
	struct loaded l = assert_loads(AN_APP);
	char want[100], *got = printed(l.st);

	(void)state;
	snprintf(want, sizeof want, "\n; auto is %u here\nworkers = auto  ",
	    l.st->workers);
	assert_non_null(strstr(got, want));
	free(got);
	loaded_free(&l);
}

/* Lines of `text` beyond n bytes that are no comment. */
static unsigned
count_long_lines(const char *text, size_t n)
{
	unsigned found = 0;

	for (size_t len; *text != '\0'; text += len + 1) {
		len = strcspn(text, "\n");
		found += len > n && *text != ';';
	}
	return found;
}

static void
a_value_too_long_for_a_line_is_printed_as_a_comment(void **state)
{
	char opt[600] = "server.chdir=/";
	const char *opts[] = { opt };
	struct settings_source src = { .opts = opts, .n_opts = 1 };

	(void)state;
	/* "chdir = " and the note reach the limit one after the other. */
	for (size_t n = 100; n < 400; n++) {
		struct loaded l, again;
		char *got;

		memset(opt + 13, '/', n);
		opt[13 + n] = '\0';
		l = load_from(src, AN_APP, sizeof AN_APP - 1);
		assert_string_equal(l.errors, "");
		got = printed(l.st);
		assert_int_equal(count_long_lines(got, INI_LINE_BYTES), 0);
		again = assert_loads(got);
		if (strlen("chdir=") + n <= INI_LINE_BYTES)
			assert_string_equal(again.st->chdir, l.st->chdir);
		else
			assert_non_null(
			    strstr(got, "; -o, too long for a file"));
		free(got);
		loaded_free(&again);
		loaded_free(&l);
	}
}

/* A full line has no room for the blanks around = that others get. */
static void
the_longest_value_of_a_file_is_printed_as_a_line_that_loads(void **state)
{
	char target[INI_LINE_BYTES - 6], text[300];

	(void)state;
	memset(target, 'x', sizeof target - 1);
	for (size_t n = sizeof target - 1; n > 100; n--) {
		target[n] = '\0';
		snprintf(text, sizeof text,
		    "[app:a]\ntype = static\ntarget=%s\n", target);
		assert_prints_what_loads(text);
	}
}

/* "*" is printed as 0.0.0.0, and so the line outgrows its limit. */
static void
a_long_list_is_printed_as_lines_that_load(void **state)
{
	(void)state;
	assert_prints_what_loads("[server]\nbind = "
				 "*:1,*:2,*:3,*:4,*:5,*:6,*:7,*:8,*:9,*:10,"
				 "*:11,*:12,*:13,*:14,*:15,*:16,*:17,*:18\n"
				 "[proxy]\nprotocol = *:7\n" AN_APP);
}

/* Of values that might begin a comment in the next line, or lose a blank. */
static void
a_value_is_broken_after_a_comma_only_where_it_loads_again(void **state)
{
	static const char *const commas[] = { ", ", ", #", ",  ", ",", ",\t" };
	char opt[600], *got;

	(void)state;
	for (size_t i = 0; i < sizeof commas / sizeof commas[0]; i++) {
		const char *opts[] = { opt };
		struct settings_source src = { .opts = opts, .n_opts = 1 };
		struct loaded l, again;

		snprintf(opt, sizeof opt, "app:a.option.x=%0150d%s%0150d", 0,
		    commas[i], 0);
		l = load_from(src, AN_APP, sizeof AN_APP - 1);
		assert_string_equal(l.errors, "");
		got = printed(l.st);
		again = assert_loads(got);
		if (i == 0)
			assert_same_settings(l.st, again.st);
		else
			assert_non_null(
			    strstr(got, "; -o, too long for a file"));
		free(got);
		loaded_free(&again);
		loaded_free(&l);
	}
}

static void
a_strange_file_name_cannot_break_the_print(void **state)
{
	struct settings_source src = { .file = "a\nworkers = 9\n.ini",
		.environment = no_environment };
	struct loaded l = { .st = NULL }, again;
	char text[] = AN_APP, *got;
	size_t n;
	FILE *errors = open_memstream(&l.errors, &n);

	(void)state;
	assert_non_null(errors);
	src.stream = fmemopen(text, strlen(text), "r");
	l.st = settings_load(&src, errors);
	fclose(errors);
	fclose(src.stream);
	assert_non_null(l.st);
	got = printed(l.st);
	again = assert_loads(got);
	assert_same_settings(l.st, again.st);
	free(got);
	loaded_free(&again);
	loaded_free(&l);
}

static void
a_reload_names_what_needs_a_new_start(void **state)
{
	struct loaded was = assert_loads(AN_APP);
	struct loaded now = assert_loads("[server]\numask = 77\nuser = x\n"
					 "workers = 9\n" AN_APP);
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	assert_non_null(out);
	assert_int_equal(settings_print_restart(was.st, was.st, out), 0);
	assert_int_equal(settings_print_restart(was.st, now.st, out), 2);
	fclose(out);
	assert_string_equal(text,
	    "[server] user = x: takes effect at the next start\n"
	    "[server] umask = 0077: takes effect at the next start\n");
	free(text);
	loaded_free(&was);
	loaded_free(&now);
}

static void
the_generated_server_ini_loads_to_defaults_and_three_applications(void **state)
{
	char *text = written_by(settings_print_ini);
	struct loaded l = assert_loads(text), plain = assert_loads(AN_APP);

	(void)state;
	assert_same_rows(l.st, plain.st, false);
	assert_int_equal(l.st->n_apps, 3);
	assert_string_equal(l.st->apps[0].target, "conf/site");
	assert_string_equal(l.st->apps[1].mount, "/hello");
	assert_true(l.st->apps[2].stream);
	assert_int_equal(count_long_lines(text, 78), 0);
	free(text);
	loaded_free(&l);
	loaded_free(&plain);
}

/* Each ";key = value" of server.ini becomes a line that counts. */
static void
the_commented_defaults_of_server_ini_are_the_defaults(void **state)
{
	char *text = written_by(settings_print_ini), *end;
	struct loaded plain = assert_loads(AN_APP), l;
	unsigned taken = 0;

	(void)state;
	end = strstr(text, "# Each application");
	assert_non_null(end);
	*end = '\0';
	for (char *p = text; (p = strstr(p, "\n;")) != NULL; p++) {
		if (strncmp(p, "\n;env.", 6) == 0)
			continue;
		memmove(p + 1, p + 2, strlen(p + 2) + 1);
		taken++;
	}
	text = realloc(text, strlen(text) + sizeof AN_APP);
	assert_non_null(text);
	memcpy(text + strlen(text), AN_APP, sizeof AN_APP);
	l = assert_loads(text);
	assert_same_rows(l.st, plain.st, false);
	assert_int_equal(taken, ROW_app_type);
	free(text);
	loaded_free(&l);
	loaded_free(&plain);
}

static void
help_has_a_line_of_80_columns_for_each_setting(void **state)
{
	char *text = written_by(settings_print_help);
	unsigned lines = 0;

	(void)state;
	for (const char *p = text; *p != '\0'; p++)
		lines += *p == '\n';
	assert_int_equal(lines, N_SETTINGS);
	assert_int_equal(count_long_lines(text, 80), 0);
	assert_non_null(strstr(text, "  server.bind "));
	assert_non_null(strstr(text, "  app:NAME.stream "));
	free(text);
}

static void
the_manual_lists_each_setting(void **state)
{
	char *text = written_by(settings_print_man);
	unsigned items = 0;

	(void)state;
	for (const char *p = text; (p = strstr(p, "\n.It Ic ")) != NULL; p++)
		items++;
	assert_int_equal(items, N_SETTINGS);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_printed_loads_to_the_same_settings),
		cmocka_unit_test(the_text_with_every_setting_has_every_setting),
		cmocka_unit_test(every_value_is_printed_with_its_origin),
		cmocka_unit_test(
		    automatic_workers_are_printed_as_auto_with_their_number),
		cmocka_unit_test(
		    a_value_too_long_for_a_line_is_printed_as_a_comment),
		cmocka_unit_test(
		    the_longest_value_of_a_file_is_printed_as_a_line_that_loads),
		cmocka_unit_test(a_long_list_is_printed_as_lines_that_load),
		cmocka_unit_test(
		    a_value_is_broken_after_a_comma_only_where_it_loads_again),
		cmocka_unit_test(a_strange_file_name_cannot_break_the_print),
		cmocka_unit_test(a_reload_names_what_needs_a_new_start),
		cmocka_unit_test(
		    the_generated_server_ini_loads_to_defaults_and_three_applications),
		cmocka_unit_test(
		    the_commented_defaults_of_server_ini_are_the_defaults),
		cmocka_unit_test(
		    help_has_a_line_of_80_columns_for_each_setting),
		cmocka_unit_test(the_manual_lists_each_setting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
