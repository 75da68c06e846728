/* Conditional and range requests for files, as RFC 9110 13 and 14 have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/http/static_condition.h"
#include "worker/http/static_range.h"

#define SLICE(literal)                                                         \
	{                                                                      \
		"" literal, sizeof(literal) - 1                                \
	}

#define MODIFIED 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */

#define SAME    "Sun, 06 Nov 1994 08:49:37 GMT"
#define EARLIER "Sun, 06 Nov 1994 08:49:36 GMT"
#define LATER   "Sun, 06 Nov 1994 08:49:38 GMT"

/* Against the entity tag "v,1" and MODIFIED. */
struct condition_row {
	uint16_t status, id, id2;
	const char *value, *value2;
};

static const struct condition_row conditions[] = {
	{ 200, PF_H_HOST, 0, "x", "" },
	{ 304, PF_H_IF_NONE_MATCH, 0, "\"v,1\"", "" },
	{ 304, PF_H_IF_NONE_MATCH, 0, "W/\"v,1\"", "" },
	{ 304, PF_H_IF_NONE_MATCH, 0, "*", "" },
	{ 304, PF_H_IF_NONE_MATCH, 0, "\"a\" , ,W/\"b\",\"v,1\"", "" },
	{ 304, PF_H_IF_NONE_MATCH, PF_H_IF_NONE_MATCH, "\"a\"", "\"v,1\"" },
	{ 200, PF_H_IF_NONE_MATCH, 0, "\"v\"", "" },
	{ 200, PF_H_IF_NONE_MATCH, 0, "\"v,1", "" },
	{ 200, PF_H_IF_NONE_MATCH, 0, "v,1", "" },
	{ 200, PF_H_IF_NONE_MATCH, 0, "W/", "" },
	{ 200, PF_H_IF_NONE_MATCH, 0, "\"", "" },
	{ 200, PF_H_IF_NONE_MATCH, 0, "", "" },
	{ 200, PF_H_IF_NONE_MATCH, 0, "x \"v,1\"", "" },
	{ 304, PF_H_IF_MODIFIED_SINCE, 0, SAME, "" },
	{ 304, PF_H_IF_MODIFIED_SINCE, 0, LATER, "" },
	{ 200, PF_H_IF_MODIFIED_SINCE, 0, EARLIER, "" },
	{ 200, PF_H_IF_MODIFIED_SINCE, 0, "yesterday", "" },
	{ 200, PF_H_IF_MODIFIED_SINCE, PF_H_IF_MODIFIED_SINCE, SAME, SAME },
	{ 200, PF_H_IF_NONE_MATCH, PF_H_IF_MODIFIED_SINCE, "\"a\"", SAME },
	{ 304, PF_H_IF_MODIFIED_SINCE, PF_H_IF_NONE_MATCH, EARLIER, "\"v,1\"" },
	{ 200, PF_H_IF_MATCH, 0, "\"v,1\"", "" },
	{ 200, PF_H_IF_MATCH, 0, "*", "" },
	{ 412, PF_H_IF_MATCH, 0, "W/\"v,1\"", "" },
	{ 412, PF_H_IF_MATCH, 0, "\"a\"", "" },
	{ 200, PF_H_IF_UNMODIFIED_SINCE, 0, SAME, "" },
	{ 412, PF_H_IF_UNMODIFIED_SINCE, 0, EARLIER, "" },
	{ 200, PF_H_IF_UNMODIFIED_SINCE, 0, "never", "" },
	{ 200, PF_H_IF_UNMODIFIED_SINCE, PF_H_IF_MATCH, EARLIER, "\"v,1\"" },
	{ 412, PF_H_IF_MATCH, PF_H_IF_NONE_MATCH, "\"a\"", "\"v,1\"" },
	{ 304, PF_H_IF_MATCH, PF_H_IF_NONE_MATCH, "\"v,1\"", "\"v,1\"" },
};

static void
conditions_follow_rfc_9110(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
		const struct condition_row *c = &conditions[i];
		const pf_header h[] = {
			{ .id = c->id,
			    .value = { c->value, strlen(c->value) } },
			{ .id = c->id2,
			    .value = { c->value2, strlen(c->value2) } },
		};
		unsigned got = static_condition(h, 2, STR("\"v,1\""), MODIFIED,
		    MODIFIED + 1000);

		if (got != c->status)
			fail_msg("row %zu, %s: %u", i, c->value, got);
	}
}

/* Of 1000 bytes with the entity tag "v,1", last modified at SAME. */
struct range_row {
	const char *range, *if_range;
	uint16_t status;
	int16_t at, n;
};

static const struct range_row ranges[] = {
	{ "bytes=0-0", NULL, 206, 0, 1 },
	{ "bytes=0-499", NULL, 206, 0, 500 },
	{ "bytes=500-", NULL, 206, 500, 500 },
	{ "bytes=999-", NULL, 206, 999, 1 },
	{ "bytes=990-2000", NULL, 206, 990, 10 },
	{ "bytes=0-99999999999999999999999", NULL, 206, 0, 1000 },
	{ "bytes=-1", NULL, 206, 999, 1 },
	{ "bytes=-1000", NULL, 206, 0, 1000 },
	{ "bytes=-99999999999999999999999", NULL, 206, 0, 1000 },
	{ "Bytes=1-2", NULL, 206, 1, 2 },
	{ "bytes= 1-2", NULL, 206, 1, 2 },
	{ "bytes=0001-0002", NULL, 206, 1, 2 },
	{ "bytes=1000-", NULL, 416, 0, 0 },
	{ "bytes=1000-1001", NULL, 416, 0, 0 },
	{ "bytes=9223372036854775807-", NULL, 416, 0, 0 },
	{ "bytes=99999999999999999999999-", NULL, 416, 0, 0 },
	{ "bytes=-0", NULL, 416, 0, 0 },
	/* ignored */
	{ "bytes=5-4", NULL, 200, 0, 0 },
	{ "bytes=0-1,3-4", NULL, 200, 0, 0 },
	{ "bytes=1000-,3-4", NULL, 200, 0, 0 },
	{ "bytes=0-1,", NULL, 200, 0, 0 },
	{ "bytes=", NULL, 200, 0, 0 },
	{ "bytes=-", NULL, 200, 0, 0 },
	{ "bytes=--1", NULL, 200, 0, 0 },
	{ "bytes=+1-2", NULL, 200, 0, 0 },
	{ "bytes=1-+2", NULL, 200, 0, 0 },
	{ "bytes=1 -2", NULL, 200, 0, 0 },
	{ "bytes=1-2x", NULL, 200, 0, 0 },
	{ "bytes=1", NULL, 200, 0, 0 },
	{ "bytes=0x1-2", NULL, 200, 0, 0 },
	{ "bytes =1-2", NULL, 200, 0, 0 },
	{ "bytes:1-2", NULL, 200, 0, 0 },
	{ "lines=1-2", NULL, 200, 0, 0 },
	{ "1-2", NULL, 200, 0, 0 },
	{ "", NULL, 200, 0, 0 },
	{ "bytes=1-2", "\"v,1\"", 206, 1, 2 },
	{ "bytes=1-2", SAME, 200, 0, 0 },
	{ "bytes=1000-", SAME, 200, 0, 0 },
	{ "bytes=1-2", "W/\"v,1\"", 200, 0, 0 },
	{ "bytes=1-2", "\"other\"", 200, 0, 0 },
	{ "bytes=1-2", "*", 200, 0, 0 },
	{ "bytes=1-2", EARLIER, 200, 0, 0 },
	{ "bytes=1-2", LATER, 200, 0, 0 },
	{ "bytes=1-2", "yesterday", 200, 0, 0 },
	{ "bytes=1-2", "", 200, 0, 0 },
	{ "bytes=1000-", "\"other\"", 200, 0, 0 },
};

static unsigned
range_of(const pf_header *h, size_t n, int64_t size, struct static_range *out)
{
	*out = (struct static_range){ 0 };
	return static_range(h, n,
	    &(struct static_whole){ { "\"v,1\"", 5 }, size }, out);
}

static void
ranges_follow_rfc_9110(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
		const struct range_row *t = &ranges[i];
		const char *cond = t->if_range ? t->if_range : "";
		const pf_header h[] = {
			{ .id = PF_H_RANGE,
			    .value = { t->range, strlen(t->range) } },
			{ .id = t->if_range ? PF_H_IF_RANGE : PF_H_HOST,
			    .value = { cond, strlen(cond) } },
		};
		struct static_range got;

		if (range_of(h, 2, 1000, &got) != t->status ||
		    got.at != t->at || got.n != t->n)
			fail_msg("%s, %s: %lld+%lld", t->range, cond,
			    (long long)got.at, (long long)got.n);
	}
}

static void
fields_that_come_twice_are_no_range(void **state)
{
	const pf_header range = { .id = PF_H_RANGE,
		.value = SLICE("bytes=1-2") };
	const pf_header same = { .id = PF_H_IF_RANGE,
		.value = SLICE("\"v,1\"") };
	struct static_range got;

	(void)state;
	assert_int_equal(range_of(&range, 1, 9, &got), 206);
	assert_int_equal(range_of((pf_header[]){ range, range }, 2, 9, &got),
	    200);
	assert_int_equal(range_of((pf_header[]){ range, same }, 2, 9, &got),
	    206);
	assert_int_equal(range_of((pf_header[]){ range, same, same }, 3, 9,
			     &got),
	    200);
	assert_int_equal(range_of((pf_header[]){ same }, 1, 9, &got), 200);
}

static void
an_empty_file_has_no_part(void **state)
{
	pf_header h = { .id = PF_H_RANGE, .value = SLICE("bytes=0-") };
	struct static_range got;

	(void)state;
	assert_int_equal(range_of(&h, 1, 0, &got), 416);
	h.value = (pf_str)SLICE("bytes=-5");
	assert_int_equal(range_of(&h, 1, 0, &got), 200);
	h.value = (pf_str)SLICE("bytes=-0");
	assert_int_equal(range_of(&h, 1, 0, &got), 416);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conditions_follow_rfc_9110),
		cmocka_unit_test(ranges_follow_rfc_9110),
		cmocka_unit_test(fields_that_come_twice_are_no_range),
		cmocka_unit_test(an_empty_file_has_no_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
