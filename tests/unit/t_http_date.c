#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "worker/http/http_date.h"

#define NOW 1700000000 /* 14 Nov 2023 22:13:20 */

static void
formats(time_t t, const char *want)
{
	char out[HTTP_DATE_LENGTH + 1] = { 0 };

	http_date_format(t, out);
	assert_string_equal(out, want);
}

static time_t
parsed(const char *s, time_t now)
{
	time_t t = 0;

	if (!http_date_parse((struct str){ s, strlen(s) }, now, &t))
		fail_msg("%s is refused", s);
	return t;
}

static void
a_date_is_written_as_the_rfc_shows_it(void **state)
{
	(void)state;
	formats(784111777, "Sun, 06 Nov 1994 08:49:37 GMT");
	formats(0, "Thu, 01 Jan 1970 00:00:00 GMT");
	formats(-1, "Wed, 31 Dec 1969 23:59:59 GMT");
	formats(951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
	formats(4107542399, "Sun, 28 Feb 2100 23:59:59 GMT");
	formats(4107542400, "Mon, 01 Mar 2100 00:00:00 GMT");
	formats(2147483648, "Tue, 19 Jan 2038 03:14:08 GMT");
}

static void
years_end_at_0_and_9999(void **state)
{
	(void)state;
	formats(-62167219200, "Sat, 01 Jan 0000 00:00:00 GMT");
	formats(-62167219201, "Sat, 01 Jan 0000 00:00:00 GMT");
	formats(INT64_MIN, "Sat, 01 Jan 0000 00:00:00 GMT");
	formats(253402300799, "Fri, 31 Dec 9999 23:59:59 GMT");
	formats(253402300800, "Fri, 31 Dec 9999 23:59:59 GMT");
	formats(INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void
all_three_formats_are_read(void **state)
{
	(void)state;
	assert_int_equal(parsed("Sun, 06 Nov 1994 08:49:37 GMT", NOW),
	    784111777);
	assert_int_equal(parsed("Sunday, 06-Nov-94 08:49:37 GMT", NOW),
	    784111777);
	assert_int_equal(parsed("Sun Nov  6 08:49:37 1994", NOW), 784111777);
	assert_int_equal(parsed("Wed Nov 16 08:49:37 1994", NOW),
	    784111777 + 10 * 86400);
	assert_int_equal(parsed("Thu, 30 Jun 1994 23:59:60 GMT", NOW),
	    773020800);
}

static void
two_digit_years_reach_50_years_ahead(void **state)
{
	(void)state;
	assert_int_equal(parsed("Tuesday, 14-Nov-73 22:13:20 GMT", NOW),
	    parsed("Tue, 14 Nov 2073 22:13:20 GMT", NOW));
	assert_int_equal(parsed("Wednesday, 14-Nov-73 22:13:21 GMT", NOW),
	    parsed("Wed, 14 Nov 1973 22:13:21 GMT", NOW));
	assert_int_equal(parsed("Monday, 01-Jan-00 00:00:00 GMT", NOW),
	    946684800);
	/* from 1960, 09 is near and 11 is far */
	assert_int_equal(parsed("Monday, 01-Jan-09 00:00:00 GMT", -315619200),
	    parsed("Thu, 01 Jan 2009 00:00:00 GMT", NOW));
	assert_int_equal(parsed("Monday, 01-Jan-11 00:00:00 GMT", -315619200),
	    parsed("Sun, 01 Jan 1911 00:00:00 GMT", NOW));
}

/* gmtime_r is the judge. */
static void
every_day_of_a_thousand_years_is_written_and_read_back(void **state)
{
	(void)state;
	for (int64_t day = -200000; day < 200000; day++) {
		time_t t = (time_t)(day * 86400 + (day & 0xffff));
		char out[HTTP_DATE_LENGTH + 1] = { 0 }, want[64];
		struct tm tm;

		assert_non_null(gmtime_r(&t, &tm));
		strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", &tm);
		http_date_format(t, out);
		assert_string_equal(out, want);
		assert_int_equal(parsed(out, NOW), t);
	}
}

static void
what_is_not_a_date_is_refused(void **state)
{
	static const struct str t[] = {
		STR(""),
		STR("Sun"),
		STR("Sun, 06 Nov 1994 08:49:37"),
		STR("Sun, 06 Nov 1994 08:49:37 UTC"),
		STR("Sun, 06 Nov 1994 08:49:37 GMT "),
		STR(" Sun, 06 Nov 1994 08:49:37 GMT"),
		STR("Sun, 6 Nov 1994 08:49:37 GMT"),
		STR("sun, 06 nov 1994 08:49:37 gmt"),
		STR("Xyz, 06 Nov 1994 08:49:37 GMT"),
		STR("Sun, 06 Nix 1994 08:49:37 GMT"),
		STR("Sun, 00 Nov 1994 08:49:37 GMT"),
		STR("Sun, 31 Nov 1994 08:49:37 GMT"),
		STR("Sun, 29 Feb 1900 08:49:37 GMT"),
		STR("Sun, 29 Feb 2023 08:49:37 GMT"),
		STR("Sun, 06 Nov 1994 24:00:00 GMT"),
		STR("Sun, 06 Nov 1994 08:60:37 GMT"),
		STR("Sun, 06 Nov 1994 08:49:61 GMT"),
		STR("Sun, 06 Nov 94 08:49:37 GMT"),
		STR("Sun, 06 Nov -994 08:49:37 GMT"),
		STR("Sun, 06 Nov 1994 +8:49:37 GMT"),
		STR("Sun, 06-Nov-94 08:49:37 GMT"),
		STR("Sunday, 06 Nov 1994 08:49:37 GMT"),
		STR("Sunday, 06-Nov-1994 08:49:37 GMT"),
		STR("Sun Nov 6 08:49:37 1994"),
		STR("Sun Nov  6 08:49:37 1994 GMT"),
		STR("784111777"),
		STR("1994-11-06T08:49:37Z"),
	};
	time_t out;

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
		if (http_date_parse(t[i], NOW, &out))
			fail_msg("%s is accepted", t[i].p);
}

static void
a_cut_date_is_refused_without_reading_on(void **state)
{
	static const struct str t[] = {
		STR("Sun, 06 Nov 1994 08:49:37 GMT"),
		STR("Sunday, 06-Nov-94 08:49:37 GMT"),
		STR("Sun Nov  6 08:49:37 1994"),
	};
	time_t out;

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
		for (size_t n = 0; n < t[i].n; n++)
			assert_false(http_date_parse((struct str){ t[i].p, n },
			    NOW, &out));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_date_is_written_as_the_rfc_shows_it),
		cmocka_unit_test(years_end_at_0_and_9999),
		cmocka_unit_test(all_three_formats_are_read),
		cmocka_unit_test(two_digit_years_reach_50_years_ahead),
		cmocka_unit_test(
		    every_day_of_a_thousand_years_is_written_and_read_back),
		cmocka_unit_test(what_is_not_a_date_is_refused),
		cmocka_unit_test(a_cut_date_is_refused_without_reading_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
