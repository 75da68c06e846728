/* Header fields and status codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <ctype.h>

#include <cmocka.h>

#include <prefork/module.h>

#include "worker/http/field.h"
#include "worker/http/status.h"

static void
a_name_is_made_of_token_characters(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		bool want = c != 0 && c < 128 &&
		    (isalnum(c) || strchr("!#$%&'*+-.^_`|~", c) != NULL);
		char b = (char)c;

		assert_int_equal(field_tchar[c], want);
		assert_int_equal(field_name_ok((struct str){ &b, 1 }), want);
	}
	assert_false(field_name_ok(STR("")));
	assert_false(field_name_ok(STR("a b")));
	assert_true(field_name_ok(STR("a-b")));
}

/* Wherever the byte stands: values are checked 16 bytes at a time. */
static void
a_value_holds_no_control_bytes(void **state)
{
	char v[40];

	(void)state;
	for (int c = 0; c < 256; c++) {
		bool want = c == '\t' || (c >= ' ' && c != 0x7f);

		assert_int_equal(field_vchar[c], want);
		for (size_t at = 0; at < sizeof v; at++) {
			memset(v, 'v', sizeof v);
			v[at] = (char)c;
			assert_int_equal(field_value_ok(
					     (struct str){ v, sizeof v }),
			    want);
			assert_int_equal(field_value_ok(
					     (struct str){ v, at + 1 }),
			    want);
			assert_true(field_value_ok((struct str){ v, at }));
		}
	}
	assert_true(field_value_ok(STR("")));
}

static void
finds_in_any_case(const char *lower, uint16_t id)
{
	char name[64];
	size_t n = strlen(lower);

	for (size_t k = 0; k < n; k++)
		name[k] = (char)toupper(lower[k]);
	assert_int_equal(field_id((struct str){ lower, n }), id);
	assert_int_equal(field_id((struct str){ name, n }), id);
	name[n / 2] = lower[n / 2];
	assert_int_equal(field_id((struct str){ name, n }), id);
}

static void
does_not_find_what_is_one_byte_off(const char *lower, uint16_t id)
{
	char name[64] = { 0 };
	size_t n = strlen(lower);

	snprintf(name, sizeof name, "%s", lower);
	assert_int_not_equal(field_id((struct str){ name, n - 1 }), id);
	assert_int_not_equal(field_id((struct str){ name, n + 1 }), id);
	for (size_t k = 0; k < n; k++) {
		name[k] ^= 0x40;
		assert_int_not_equal(field_id((struct str){ name, n }), id);
		name[k] ^= 0x41;
		assert_int_not_equal(field_id((struct str){ name, n }), id);
		name[k] = lower[k];
	}
}

static void
every_well_known_name_is_found_in_any_case(void **state)
{
	(void)state;
#define PF_HEADER(identifier, name)                                            \
	finds_in_any_case(name, PF_H_##identifier);                            \
	does_not_find_what_is_one_byte_off(name, PF_H_##identifier);
#include <prefork/headers.def>
#undef PF_HEADER
}

static void
an_unknown_name_has_no_number(void **state)
{
	char longest[300];

	(void)state;
	memset(longest, 'x', sizeof longest);
	for (size_t n = 0; n < sizeof longest; n++)
		assert_int_equal(field_id((struct str){ longest, n }),
		    PF_H_OTHER);
	/* 0x20 is a case only in letters: '-' | 0x20 is '-', and so is CR */
	assert_int_equal(field_id(STR("if\rrange")), PF_H_OTHER);
	assert_int_equal(field_id(STR("content_length")), PF_H_OTHER);
}

static void
a_hash_is_that_of_a_name_in_any_case_and_its_seed(void **state)
{
	static const char *const other[] = { "x-nome", "x-nam", "x-names",
		"x-nam\x25", "x\x0dname", "emanx-", "x-na", "xname" };
	uint32_t hash = field_hash(STR("x-name"), 1234567);

	(void)state;
	assert_int_equal(field_hash(STR("X-NAME"), 1234567), hash);
	assert_int_not_equal(field_hash(STR("x-name"), 1234568), hash);
	for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
		assert_int_not_equal(field_hash((struct str){ other[i],
						    strlen(other[i]) },
					 1234567),
		    hash);
	/* 0x20 apart, and no letters */
	assert_int_not_equal(field_hash(STR("^^^^^^"), 1234567),
	    field_hash(STR("^^^^^~"), 1234567));
	assert_true(field_hash(STR("zzzzzzzz"), 0x7ffffffe) < 0x7fffffff);
}

static void
names_are_equal_but_for_the_case_of_letters(void **state)
{
	char a[20], b[20];

	(void)state;
	memset(a, '-', sizeof a);
	for (size_t at = 0; at < sizeof a; at++) {
		for (int x = 0; x < 256; x++) {
			int y = x ^ 0x20;

			memcpy(b, a, sizeof a);
			a[at] = (char)x;
			b[at] = (char)y;
			assert_int_equal(field_name_eq((struct str){ a,
							   sizeof a },
					     (struct str){ b, sizeof b }),
			    x < 128 && isalpha(x));
			assert_true(field_name_eq((struct str){ a, sizeof a },
			    (struct str){ a, sizeof a }));
			a[at] = '-';
		}
	}
	assert_true(field_name_eq(STR(""), STR("")));
	assert_false(field_name_eq(STR("a"), STR("ab")));
	assert_false(field_name_eq(STR("ab"), STR("ac")));
}

static void
a_token_is_found_in_a_list(void **state)
{
	static const struct {
		struct str list;
		bool want;
	} t[] = {
		{ STR("close"), true },
		{ STR("CLOSE"), true },
		{ STR("keep-alive, close"), true },
		{ STR("close,keep-alive"), true },
		{ STR(" \t close\t,x"), true },
		{ STR(",,close,"), true },
		{ STR(""), false },
		{ STR(","), false },
		{ STR("closed"), false },
		{ STR("xclose"), false },
		{ STR("close x"), false },
		{ STR("clo,se"), false },
		{ STR("close;q=1"), false },
		{ STR("\x0b"
		      "close"),
		    false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
		if (field_has_token(t[i].list, STR("close")) != t[i].want)
			fail_msg("\"%s\"", t[i].list.p);
}

static void
only_space_and_tab_are_trimmed(void **state)
{
	(void)state;
	assert_true(str_eq(field_trim(STR(" \t a b\t ")), STR("a b")));
	assert_true(str_eq(field_trim(STR(" \t ")), STR("")));
	assert_true(str_eq(field_trim(STR("")), STR("")));
	assert_true(str_eq(field_trim(STR("\xa0\x0b")), STR("\xa0\x0b")));
}

static void
every_status_has_a_reason(void **state)
{
	(void)state;
#define STATUS(code, reason)                                                   \
	assert_true(str_eq(status_reason(code), STR(reason)));
#include "worker/http/status.def"
#undef STATUS
	assert_true(str_eq(status_reason(200), STR("OK")));
	assert_true(str_eq(status_reason(299), STR("Unknown")));
	assert_true(str_eq(status_reason(0), STR("Unknown")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_made_of_token_characters),
		cmocka_unit_test(a_value_holds_no_control_bytes),
		cmocka_unit_test(every_well_known_name_is_found_in_any_case),
		cmocka_unit_test(an_unknown_name_has_no_number),
		cmocka_unit_test(
		    a_hash_is_that_of_a_name_in_any_case_and_its_seed),
		cmocka_unit_test(names_are_equal_but_for_the_case_of_letters),
		cmocka_unit_test(a_token_is_found_in_a_list),
		cmocka_unit_test(only_space_and_tab_are_trimmed),
		cmocka_unit_test(every_status_has_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
