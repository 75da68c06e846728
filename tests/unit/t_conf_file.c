#include "tests/unit/t_conf.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/ini.h"

/* Text of a file that is refused, and all that is said about it. */
struct refusal {
	const char *text, *errors;
};

static void
assert_all_refused(const struct refusal *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_refused(at[i].text, at[i].errors);
}
#define ALL(array) array, sizeof array / sizeof array[0]

static void
all_mistakes_of_a_file_are_told_in_one_run(void **state)
{
	(void)state;
	assert_refused("[server]\nworkers = 0\nwrokers = 2\n"
		       "[http]\nserver_header = on\n",
	    "server.ini:2: [server] workers = 0: too small; must be auto or a "
	    "number from 1 to 1024\n"
	    "server.ini:3: [server] wrokers = 2: no such setting; did you "
	    "mean workers?\n"
	    "server.ini:5: [http] server_header = on: must be yes or no\n");
}

static void
an_unknown_key_brings_the_nearest_one(void **state)
{
	static const struct refusal cases[] = {
		{ "[http]\nmax_heder = 3\n",
		    "server.ini:2: [http] max_heder = 3: no such setting; did "
		    "you mean max_header?\n" },
		{ "[server]\nmax_header = 3\n",
		    "server.ini:2: [server] max_header = 3: no such setting; "
		    "it belongs to [http]\n" },
		{ "[server]\ntype = static\n",
		    "server.ini:2: [server] type = static: no such setting; "
		    "it belongs to [app:NAME]\n" },
		{ "[log]\nbakclog = 1\n",
		    "server.ini:2: [log] bakclog = 1: no such setting; did you "
		    "mean backlog of [server]?\n" },
		{ "[log]\nzzzzzzzz = 1\n",
		    "server.ini:2: [log] zzzzzzzz = 1: no such setting\n" },
		{ "bind = :80\n[server]\n",
		    "server.ini:1: bind = :80: stands before any [section]; it "
		    "belongs to [server]\n" },
	};

	(void)state;
	assert_all_refused(ALL(cases));
}

static void
an_unknown_section_is_told_once_and_its_keys_are_not(void **state)
{
	static const struct refusal cases[] = {
		{ "[htpp]\nx = 1\ny = 2\n[log]\nz = 1\n",
		    "server.ini:1: [htpp]: no such section; did you mean "
		    "[http]?\n"
		    "server.ini:5: [log] z = 1: no such setting\n" },
		{ "[app]\ntype = static\n",
		    "server.ini:1: [app]: no such section; did you mean "
		    "[app:NAME]?\n" },
		{ "[database]\n",
		    "server.ini:1: [database]: no such section; there are "
		    "[server], [http], [proxy], [log], [admin] and "
		    "[app:NAME]\n" },
	};

	(void)state;
	assert_all_refused(ALL(cases));
}

static void
a_line_that_inih_would_misread_is_refused(void **state)
{
	static const struct refusal cases[] = {
		{ "[server]\nuser = a\n group = b\n",
		    "server.ini:3: indented: lines begin at the margin, but "
		    "those below a value that ends in a comma\n" },
		{ "[server]\nuser = a\n[http\nmax_body = 1\nuser = b\n",
		    "server.ini:3: [ without ]\n" },
		{ "[server] workers = 2\n", "server.ini:1: text after ]\n" },
		{ "[ser;ver]\n", "server.ini:1: a comment before ]\n" },
		{ "[server]\nuser : a\n",
		    "server.ini:2: neither [section], key = value nor a "
		    "comment\n" },
		{ "[server]\njunk\n= 3\n",
		    "server.ini:2: neither [section], key = value nor a "
		    "comment\n"
		    "server.ini:3: neither [section], key = value nor a "
		    "comment\n" },
		{ "[server]\nuser =;a\n",
		    "server.ini:2: [server] user = ;a: has a ; after a space, "
		    "which begins a comment\n" },
		{ "[server]\nuser = a\x1b[2Jb\n",
		    "server.ini:2: [server] user = a?[2Jb: has a control "
		    "character\n" },
	};

	(void)state;
	assert_all_refused(ALL(cases));
}

static void
a_list_goes_on_in_indented_lines_below_its_comma(void **state)
{
	struct loaded l =
	    assert_loads("[server]\n"
			 "bind = :80,   ; the first\r\n"
			 "\n"
			 "; a comment between them\n"
			 "\t:81, :82,\r\n"
			 "  # another\n"
			 "    :83\t; the last\n"
			 "backlog = 7\n" AN_APP "option.list = a,\n"
			 " b;c, ; a comment\n"
			 " d # none\n"
			 "option.end = x,\n"
			 "option.last = y,\n"
			 " z");
	const struct pair *option = l.st->apps[0].options;

	(void)state;
	assert_int_equal(l.st->bind.n, 4);
	assert_string_equal(l.st->bind.at[3].spec, "0.0.0.0:83");
	assert_int_equal(l.st->origins[ROW_server_bind].line, 2);
	assert_int_equal(l.st->backlog, 7);
	assert_string_equal(option[0].value, "a, b;c, d # none");
	assert_string_equal(option[1].value, "x,");
	assert_string_equal(option[2].value, "y, z");
	loaded_free(&l);
}

static void
a_mistake_in_a_list_of_several_lines_is_told(void **state)
{
	static const struct refusal cases[] = {
		{ "[server]\nbind = :80,\n :x,\n :82\n",
		    "server.ini:2: [server] bind = :80, :x, :82: at :x: the "
		    "port is not a number from 0 to 65535; must be "
		    "address:port, [v6 "
		    "address]:port, unix:/path, fd://N or fd://NAME, several "
		    "with commas\n" },
		/* It ends at the margin, and what a list ends in it needs. */
		{ "[server]\nbind = :80,\nuser = a,\n[http]\n b\n",
		    "server.ini:2: [server] bind = :80,: has an empty address; "
		    "must be address:port, [v6 address]:port, unix:/path, "
		    "fd://N or fd://NAME, several with commas\n"
		    "server.ini:5: indented: lines begin at the margin, but "
		    "those below a value that ends in a comma\n" },
		{ "[server]\nuser = a,\n b\n c\n",
		    "server.ini:4: indented: lines begin at the margin, but "
		    "those below a value that ends in a comma\n" },
	};

	(void)state;
	assert_all_refused(ALL(cases));
}

/* PREFIX, and as many lines of n bytes below it. */
static struct loaded
load_list(const char *prefix, size_t n, unsigned lines)
{
	char *text;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);
	struct loaded l;

	assert_non_null(out);
	fprintf(out, "%s[server]\nenv.X = ,\n", AN_APP);
	for (unsigned i = 0; i < lines; i++)
		fprintf(out, "%s%0*d,\n", prefix, (int)(n - strlen(prefix) - 1),
		    0);
	fclose(out);
	l = load_text(text);
	free(text);
	return l;
}

static void
a_list_has_lines_of_198_bytes_and_16_kib_in_all(void **state)
{
	struct loaded l = load_list("\t", INI_LINE_BYTES, 82);

	(void)state;
	assert_string_equal(l.errors, "");
	assert_int_equal(strlen(l.st->env[0].value), 1 + 82 * INI_LINE_BYTES);
	loaded_free(&l);
	l = load_list("\t", INI_LINE_BYTES, 83);
	assert_string_equal(l.errors,
	    "server.ini:89: longer than 16 KiB, with the lines above\n");
	loaded_free(&l);
	l = load_list("\t", INI_LINE_BYTES + 1, 1);
	assert_string_equal(l.errors, "server.ini:7: longer than 198 bytes\n");
	loaded_free(&l);
}

static void
a_nul_byte_is_refused_with_its_line(void **state)
{
	static const char text[] = "[server]\nuser = a\0b\n" AN_APP;
	struct loaded l = load_from((struct settings_source){ .file = NULL },
	    text, sizeof text - 1);

	(void)state;
	assert_string_equal(l.errors, "server.ini:2: a NUL byte\n");
	assert_null(l.st);
	loaded_free(&l);
}

/* A file whose second line is PREFIX and x's, n bytes in all. */
static struct loaded
load_with_line(const char *prefix, size_t n)
{
	char line[400], text[600];
	size_t head = strlen(prefix);

	memset(line, 'x', n);
	memcpy(line, prefix, head);
	line[n] = '\0';
	snprintf(text, sizeof text, "[log]\n%s\r\nlevel = warn\n" AN_APP, line);
	return load_text(text);
}

static void
a_line_of_198_bytes_is_read_whole_and_a_longer_one_refused(void **state)
{
	struct loaded l = load_with_line("error = ", INI_LINE_BYTES);

	(void)state;
	assert_string_equal(l.errors, "");
	assert_int_equal(strlen(l.st->error_log), INI_LINE_BYTES - 8);
	loaded_free(&l);
	for (size_t n = INI_LINE_BYTES + 1; n < INI_LINE_BYTES + 5; n++) {
		l = load_with_line("error = ", n);
		assert_string_equal(l.errors,
		    "server.ini:2: longer than 198 bytes\n");
		assert_null(l.st);
		loaded_free(&l);
	}
}

static void
a_long_comment_is_no_mistake_and_lines_are_counted_on(void **state)
{
	struct loaded l = load_with_line("  ; ", 390);

	(void)state;
	assert_string_equal(l.errors, "");
	assert_int_equal(l.st->origins[ROW_log_level].line, 3);
	loaded_free(&l);
}

static void
a_key_given_twice_names_its_first_line(void **state)
{
	static const struct refusal cases[] = {
		{ "[log]\nlevel = info\n[http]\n[log]\nlevel = info\n",
		    "server.ini:5: [log] level: given twice, first in line "
		    "2\n" },
		{ "[log]\nlevel = loud\nlevel = info\n",
		    "server.ini:2: [log] level = loud: must be error, warn, "
		    "info or debug\n"
		    "server.ini:3: [log] level: given twice, first in line "
		    "2\n" },
		{ "[server]\nenv.A = 1\nenv.B = 1\nenv.A = 2\n",
		    "server.ini:4: [server] env.A: given twice, first in line "
		    "2\n" },
		{ "[app:a]\ntype = static\ntarget = .\noption.x = 1\n"
		  "option.x = 1\n",
		    "server.ini:5: [app:a] option.x: given twice, first in "
		    "line 4\n" },
	};

	(void)state;
	assert_all_refused(ALL(cases));
}

static void
a_plain_section_may_be_opened_again_but_not_an_application(void **state)
{
	struct loaded l = assert_loads(
	    "[log]\nlevel = warn\n[http]\n[log]\nerror = e\n" AN_APP);

	(void)state;
	assert_string_equal(l.st->error_log, "e");
	loaded_free(&l);
	assert_refused("[app:a]\ntype = static\ntarget = .\n[app:a]\nhost = "
		       "x\n",
	    "server.ini:4: [app:a]: given twice, first in line 1\n");
}

static void
an_application_needs_a_good_name_a_type_and_a_target(void **state)
{
	static const struct refusal cases[] = {
		{ "[app:]\n",
		    "server.ini:1: [app:]: the name of an application has 1 "
		    "to 32 letters, digits, _ or -\n" },
		{ "[app:a.b]\nx = 1\n",
		    "server.ini:1: [app:a.b]: the name of an application has "
		    "1 to 32 letters, digits, _ or -\n" },
		{ "[app:123456789012345678901234567890123]\n",
		    "server.ini:1: [app:123456789012345678901234567890123]: "
		    "the name of an application has 1 to 32 letters, digits, "
		    "_ or -\n" },
		{ "\n[app:a]\n",
		    "server.ini:2: [app:a]: has no type; must be static, "
		    "module or wsgi\n"
		    "server.ini:2: [app:a]: has no target; must be 1 to 4095 "
		    "bytes\n" },
		{ "[app:a]\ntype = cgi\ntarget =\n",
		    "server.ini:2: [app:a] type = cgi: must be static, module "
		    "or wsgi\n"
		    "server.ini:3: [app:a] target =: must be 1 to 4095 "
		    "bytes\n" },
		{ "[app:a]\ntype = static\ntarget = .\nvenv = /v\n",
		    "server.ini:4: [app:a] venv: is for type = wsgi only\n" },
	};

	(void)state;
	assert_all_refused(ALL(cases));
}

static void
two_applications_may_not_have_the_same_mount_and_host(void **state)
{
	struct loaded l;

	(void)state;
	assert_refused("[app:a]\ntype = static\ntarget = .\nmount = /x/\n"
		       "host = WWW.example.com\n"
		       "[app:b]\ntype = static\ntarget = .\n"
		       "host = www.example.com\nmount = /x\n",
	    "server.ini:10: [app:b] mount = /x: [app:a] has the same mount "
	    "and host\n");
	assert_refused("[app:a]\ntype = static\ntarget = .\n"
		       "[app:b]\ntype = static\ntarget = .\n",
	    "server.ini:4: [app:b] mount = /: [app:a] has the same mount and "
	    "host\n");
	l = assert_loads("[app:a]\ntype = static\ntarget = .\n"
			 "[app:b]\ntype = static\ntarget = .\nhost = b\n"
			 "[app:c]\ntype = static\ntarget = .\nmount = /c\n");
	assert_int_equal(l.st->n_apps, 3);
	loaded_free(&l);
}

static void
an_application_takes_limits_it_does_not_set_from_the_server(void **state)
{
	struct loaded l = assert_loads("[app:a]\ntype = static\ntarget = .\n"
				       "[app:b]\ntype = module\ntarget = b.so\n"
				       "mount = /b\nrequest_timeout = 1s\n"
				       "max_body = 1k\nstream = yes\n"
				       "[server]\nrequest_timeout = 7s\n"
				       "[http]\nmax_body = 2M\n");
	const struct app_settings *a = &l.st->apps[0], *b = &l.st->apps[1];

	(void)state;
	assert_int_equal(a->request_timeout_ms, 7000);
	assert_int_equal(a->max_body, 2 << 20);
	assert_false(a->stream);
	assert_int_equal(a->type, APP_STATIC);
	assert_int_equal(b->request_timeout_ms, 1000);
	assert_int_equal(b->max_body, 1024);
	assert_true(b->stream);
	assert_int_equal(b->type, APP_MODULE);
	loaded_free(&l);
}

static void
names_of_env_and_option_are_checked_and_kept_in_order(void **state)
{
	static const struct refusal cases[] = {
		{ "[server]\nenv. = 1\n",
		    "server.ini:2: [server] env. = 1: the name must have 1 to "
		    "64 letters\n" },
		{ "[server]\nenv.1A = 1\n",
		    "server.ini:2: [server] env.1A = 1: the name begins with a "
		    "digit\n" },
		{ "[server]\nenv.A-B = 1\n",
		    "server.ini:2: [server] env.A-B = 1: the name may have "
		    "letters, digits and _ only\n" },
		{ "[http]\nenv.A = 1\n",
		    "server.ini:2: [http] env.A = 1: no such setting\n" },
	};
	struct loaded l = assert_loads("[server]\nenv.B = 2\nenv.A =\n" AN_APP
				       "option.max-x.y_1 = a, b ; c\n");

	(void)state;
	assert_all_refused(ALL(cases));
	assert_int_equal(l.st->n_env, 2);
	assert_string_equal(l.st->env[0].key, "B");
	assert_string_equal(l.st->env[0].value, "2");
	assert_string_equal(l.st->env[1].key, "A");
	assert_string_equal(l.st->env[1].value, "");
	assert_int_equal(l.st->apps[0].n_options, 1);
	assert_string_equal(l.st->apps[0].options[0].key, "max-x.y_1");
	assert_string_equal(l.st->apps[0].options[0].value, "a, b");
	loaded_free(&l);
}

static void
a_byte_order_mark_and_crlf_lines_are_read(void **state)
{
	struct loaded l = assert_loads("\xef\xbb\xbf[log]\r\nlevel = warn\r\n"
				       "\r\n; c\r\n[app:a]\r\ntype = static\r\n"
				       "target = .");

	(void)state;
	assert_int_equal(l.st->log_level, 1);
	assert_string_equal(l.st->apps[0].target, ".");
	loaded_free(&l);
}

static void
a_file_without_an_application_has_nothing_to_serve(void **state)
{
	static const char told[] =
	    "server.ini: no [app:NAME] section: nothing to serve; add one "
	    "with type and target, or name a TARGET\n";

	(void)state;
	assert_refused("", told);
	assert_refused("; only this\n\n", told);
	assert_refused("\xef\xbb\xbf", told);
	assert_refused("[server]\nworkers = 2\n", told);
}

static void
a_file_larger_than_a_mebibyte_is_refused(void **state)
{
	size_t n = INI_FILE_BYTES + 1;
	char *text = malloc(n);
	struct loaded l;

	(void)state;
	assert_non_null(text);
	memset(text, '\n', n);
	l = load_from((struct settings_source){ .file = NULL }, text, n);
	assert_string_equal(l.errors, "server.ini: larger than 1 MiB\n");
	loaded_free(&l);
	memset(text, 'x', n);
	l = load_from((struct settings_source){ .file = NULL }, text, n);
	assert_string_equal(l.errors, "server.ini: larger than 1 MiB\n");
	loaded_free(&l);
	free(text);
}

static void
there_are_at_most_256_applications(void **state)
{
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	assert_non_null(out);
	for (int i = 0; i < 257; i++)
		fprintf(out,
		    "[app:a%d]\ntype = static\ntarget = .\nmount = /%d\n", i,
		    i);
	fclose(out);
	assert_refused(text,
	    "server.ini:1025: [app:a256]: more than 256 applications\n");
	free(text);
}

static void
assert_file_refused(const char *path, const char *why)
{
	struct settings_source src = { .file = path };
	struct loaded l = load_source(src);
	char want[200];

	snprintf(want, sizeof want, "%s: cannot read: %s\n", path, why);
	assert_string_equal(l.errors, want);
	assert_null(l.st);
	loaded_free(&l);
}

static void
a_file_that_cannot_be_read_is_told_with_the_reason(void **state)
{
	char dir[] = "/tmp/t_conf_XXXXXX", path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_file_refused(dir, "Is a directory");
	snprintf(path, sizeof path, "%s/none.ini", dir);
	assert_file_refused(path, "No such file or directory");
	/* root reads files of any mode, but no loop of links */
	snprintf(path, sizeof path, "%s/loop.ini", dir);
	assert_int_equal(symlink(path, path), 0);
	assert_file_refused(path, "Too many levels of symbolic links");
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof path, "%s/closed.ini", dir);
	fclose(fopen(path, "we"));
	assert_int_equal(chmod(path, 0), 0);
	if (access(path, R_OK) != 0)
		assert_file_refused(path, "Permission denied");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_mistakes_of_a_file_are_told_in_one_run),
		cmocka_unit_test(an_unknown_key_brings_the_nearest_one),
		cmocka_unit_test(
		    an_unknown_section_is_told_once_and_its_keys_are_not),
		cmocka_unit_test(a_line_that_inih_would_misread_is_refused),
		cmocka_unit_test(
		    a_list_goes_on_in_indented_lines_below_its_comma),
		cmocka_unit_test(a_mistake_in_a_list_of_several_lines_is_told),
		cmocka_unit_test(
		    a_list_has_lines_of_198_bytes_and_16_kib_in_all),
		cmocka_unit_test(a_nul_byte_is_refused_with_its_line),
		cmocka_unit_test(
		    a_line_of_198_bytes_is_read_whole_and_a_longer_one_refused),
		cmocka_unit_test(
		    a_long_comment_is_no_mistake_and_lines_are_counted_on),
		cmocka_unit_test(a_key_given_twice_names_its_first_line),
		cmocka_unit_test(
		    a_plain_section_may_be_opened_again_but_not_an_application),
		cmocka_unit_test(
		    an_application_needs_a_good_name_a_type_and_a_target),
		cmocka_unit_test(
		    two_applications_may_not_have_the_same_mount_and_host),
		cmocka_unit_test(
		    an_application_takes_limits_it_does_not_set_from_the_server),
		cmocka_unit_test(
		    names_of_env_and_option_are_checked_and_kept_in_order),
		cmocka_unit_test(a_byte_order_mark_and_crlf_lines_are_read),
		cmocka_unit_test(
		    a_file_without_an_application_has_nothing_to_serve),
		cmocka_unit_test(a_file_larger_than_a_mebibyte_is_refused),
		cmocka_unit_test(there_are_at_most_256_applications),
		cmocka_unit_test(
		    a_file_that_cannot_be_read_is_told_with_the_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
