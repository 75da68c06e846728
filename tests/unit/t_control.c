/* What the control socket carries: written, read again, shown to people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "master/json.h"
#include "master/preforkctl/record.h"
#include "master/preforkctl/render.h"

/* The object with this text in it; the caller frees it. */
static char *
write_text(const char *text)
{
	char *line;
	size_t n;
	FILE *out = open_memstream(&line, &n);

	assert_non_null(out);
	json_begin(out, "note");
	json_text(out, "text", text);
	json_end(out);
	assert_int_equal(fclose(out), 0);
	return line;
}

static void
check_written(const char *text, const char *expected)
{
	char *line = write_text(text), want[512];

	snprintf(want, sizeof want, "{\"record\":\"note\",\"text\":%s}\n",
	    expected);
	assert_string_equal(line, want);
	free(line);
}

static void
check_survives(const char *text, const char *expected)
{
	char *line = write_text(text);
	struct record r;

	assert_int_equal(record_parse(line, &r), 0);
	assert_string_equal(record_get(&r, "record"), "note");
	assert_string_equal(record_get(&r, "text"), expected);
	free(line);
}

static void
text_is_escaped(void **state)
{
	(void)state;
	check_written(NULL, "null");
	check_written("", "\"\"");
	check_written("say \"no\" to C:\\", "\"say \\\"no\\\" to C:\\\\\"");
	check_written("two\nlines\t\x7f\x01",
	    "\"two\\u000alines\\u0009\\u007f\\u0001\"");
	check_written("a/b", "\"a/b\"");
}

#define REPLACED "\xef\xbf\xbd"

static void
text_that_is_no_utf8_is_replaced(void **state)
{
	(void)state;
	check_survives("M\xc3\xbcnchen \xe2\x82\xac \xf0\x9f\x8c\x99",
	    "M\xc3\xbcnchen \xe2\x82\xac \xf0\x9f\x8c\x99");
	check_survives("M\xfcnchen", "M" REPLACED "nchen");
	check_survives("\xc3", REPLACED); /* cut short */
	check_survives("\xe2\x82", REPLACED REPLACED);
	check_survives("\xc0\xaf", REPLACED REPLACED); /* a long form */
	check_survives("\xe0\x80\xaf", REPLACED REPLACED REPLACED);
	check_survives("\xed\xa0\x80", REPLACED REPLACED REPLACED);
	check_survives("\xf0\x80\x80\xaf", REPLACED REPLACED REPLACED REPLACED);
	check_survives("\xf4\x90\x80\x80", REPLACED REPLACED REPLACED REPLACED);
	check_survives("\xf5\x80\x80\x80", REPLACED REPLACED REPLACED REPLACED);
	check_survives("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf",
	    "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf");
}

static void
every_byte_survives_writing_and_reading(void **state)
{
	char text[128];

	(void)state;
	for (int i = 1; i < 128; i++)
		text[i - 1] = (char)i;
	text[127] = '\0';
	check_survives(text, text);
}

static void
numbers_and_what_is_not_there(void **state)
{
	char *line;
	size_t n;
	FILE *out = open_memstream(&line, &n);
	struct record r;

	(void)state;
	assert_non_null(out);
	json_begin(out, "x");
	json_number(out, "zero", 0);
	json_number(out, "most", UINT64_MAX - 1);
	json_number(out, "none", JSON_NONE);
	json_end(out);
	fclose(out);
	assert_string_equal(line,
	    "{\"record\":\"x\",\"zero\":0,\"most\":18446744073709551614,"
	    "\"none\":null}\n");
	assert_int_equal(record_parse(line, &r), 0);
	assert_int_equal(r.n, 4);
	assert_string_equal(record_get(&r, "most"), "18446744073709551614");
	assert_null(record_get(&r, "none"));
	assert_null(record_get(&r, "absent"));
	free(line);
}

static int
parse(const char *text, struct record *r)
{
	static char line[8192];

	snprintf(line, sizeof line, "%s", text);
	return record_parse(line, r);
}

static void
other_spellings_of_json_are_read(void **state)
{
	struct record r;

	(void)state;
	assert_int_equal(parse(" { \"a\" : \"\\u00e9\\u20AC\\/\\b\\f\\r\\t\" , "
			       "\"b\":true,\"c\":-1.5e+3 } ",
			     &r),
	    0);
	assert_string_equal(record_get(&r, "a"),
	    "\xc3\xa9\xe2\x82\xac/\b\f\r\t");
	assert_string_equal(record_get(&r, "b"), "true");
	assert_string_equal(record_get(&r, "c"), "-1.5e+3");
}

static void
what_is_no_flat_object_is_refused(void **state)
{
	static const char *const wrong[] = { "", "{", "}", "[]", "null", "{}",
		"{\"a\"}", "{\"a\":}", "{\"a\":1", "{\"a\":1,}", "{a:1}",
		"{\"a\":\"b}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}",
		"{\"a\":\"\\u0000\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\",
		"{\"a\":\"\\u12g4\"}", "{\"a\":\"x\ny\"}", "{\"a\":{}}",
		"{\"a\":[1]}", "{\"a\":1}x", "{\"a\":1 \"b\":2}", "{\"a\" 1}" };
	struct record r;

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		if (parse(wrong[i], &r) == 0)
			fail_msg("\"%s\" was read", wrong[i]);
}

static void
a_record_has_a_bound(void **state)
{
	char text[4096] = "{";
	struct record r;
	size_t n = 1;

	(void)state;
	for (int i = 0; i < RECORD_MEMBERS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s\"m%d\":%d",
		    i > 0 ? "," : "", i, i);
	snprintf(text + n, sizeof text - n, "}");
	assert_int_equal(parse(text, &r), 0);
	assert_int_equal(r.n, RECORD_MEMBERS_MAX);
	snprintf(text + n, sizeof text - n, ",\"more\":0}");
	assert_int_equal(parse(text, &r), -1);
}

/* ---- for people -----------------------------------------------------------
 */

static void
check_value(enum control_unit unit, const char *digits, const char *expected)
{
	char buf[64];

	render_value(unit, digits, buf, sizeof buf);
	assert_string_equal(buf, expected);
}

static void
values_have_human_units(void **state)
{
	(void)state;
	check_value(UNIT_COUNT, "1234567", "1234567");
	check_value(UNIT_COUNT, NULL, "-");
	check_value(UNIT_BYTES, "0", "0 B");
	check_value(UNIT_BYTES, "1023", "1023 B");
	check_value(UNIT_BYTES, "1024", "1.0 KiB");
	check_value(UNIT_BYTES, "1048575", "1.0 MiB");
	check_value(UNIT_BYTES, "13002342", "12.4 MiB");
	check_value(UNIT_BYTES, "18446744073709551614", "16384.0 PiB");
	check_value(UNIT_SECONDS, "0", "0s");
	check_value(UNIT_SECONDS, "59", "59s");
	check_value(UNIT_SECONDS, "60", "1m00s");
	check_value(UNIT_SECONDS, "3599", "59m59s");
	check_value(UNIT_SECONDS, "7500", "2h05m");
	check_value(UNIT_SECONDS, "86399", "23h59m");
	check_value(UNIT_SECONDS, "273600", "3d04h");
	check_value(UNIT_TIME, "1795247906", "2026-11-21 07:58:26");
	check_value(UNIT_TEXT, "no moon\x1b[2J\n", "no moon\\x1b[2J\\x0a");
}

static void
a_long_text_is_cut_to_its_place(void **state)
{
	char buf[8];

	(void)state;
	render_value(UNIT_TEXT, "\x1b\x1b\x1b", buf, sizeof buf);
	assert_string_equal(buf, "\\x1b");
	render_value(UNIT_TEXT, "0123456789", buf, sizeof buf);
	assert_string_equal(buf, "0123");
}

/* What people see of these lines; the caller frees it. */
static char *
render(const char *const *lines, size_t n_lines)
{
	struct render t = { 0 };
	struct record r;
	char *text;
	size_t n;

	t.out = open_memstream(&text, &n);
	assert_non_null(t.out);
	for (size_t i = 0; i < n_lines; i++) {
		assert_int_equal(parse(lines[i], &r), 0);
		assert_int_equal(render_record(&t, &r), 0);
	}
	render_finish(&t);
	fclose(t.out);
	return text;
}

static void
a_status_has_a_line_for_each_thing_that_is_known(void **state)
{
	static const char *const lines[] = {
		/* NOLINTNEXTLINE(bugprone-suspicious-missing-comma) */
		("{\"record\":\"status\",\"pid\":4711,\"uptime\":61,"
		 "\"trial\":null,\"from_the_future\":1}"),
		"{\"record\":\"listener\",\"address\":\"127.0.0.1:80\"}",
		"{\"record\":\"future\",\"pid\":1}",
		"{\"record\":\"note\",\"text\":\"done\"}",
		"{\"pid\":2}",
	};
	char *text = render(lines, sizeof lines / sizeof lines[0]);

	(void)state;
	assert_string_equal(text,
	    "PID             4711\n"
	    "uptime          1m01s\n"
	    "listening on    127.0.0.1:80\n"
	    "done\n");
	free(text);
}

static void
workers_are_a_table_with_columns_as_wide_as_needed(void **state)
{
	static const char *const lines[] = {
		"{\"record\":\"worker\",\"slot\":0,\"pid\":4711,"
		"\"generation\":1,\"state\":\"ready\",\"connections\":12,"
		"\"threads\":1,\"requests\":1234567890,\"errors\":0,"
		"\"rss\":2129920,\"uptime\":7500}",
		"{\"record\":\"worker\",\"slot\":10,\"pid\":5,"
		"\"generation\":12,\"state\":\"retiring\",\"connections\":0,"
		"\"threads\":64,\"requests\":0,\"errors\":3,\"rss\":null,"
		"\"uptime\":0}",
	};
	char *text = render(lines, sizeof lines / sizeof lines[0]);

	(void)state;
	assert_string_equal(text,
	    "WORKER   PID  GEN  STATE     CONNS  THREADS    REQUESTS  ERRORS"
	    "   MEMORY  UPTIME\n"
	    "     0  4711    1  ready        12        1  1234567890       0"
	    "  2.0 MiB   2h05m\n"
	    "    10     5   12  retiring      0       64           0       3"
	    "        -      0s\n");
	free(text);
}

int
main(void)
{
#define T(name) cmocka_unit_test(name)
	const struct CMUnitTest tests[] = {
		T(text_is_escaped),
		T(text_that_is_no_utf8_is_replaced),
		T(every_byte_survives_writing_and_reading),
		T(numbers_and_what_is_not_there),
		T(other_spellings_of_json_are_read),
		T(what_is_no_flat_object_is_refused),
		T(a_record_has_a_bound),
		T(values_have_human_units),
		T(a_long_text_is_cut_to_its_place),
		T(a_status_has_a_line_for_each_thing_that_is_known),
		T(workers_are_a_table_with_columns_as_wide_as_needed),
	};

	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
