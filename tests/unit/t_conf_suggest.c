#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/suggest.h"

static void
distance_counts_letters_to_change(void **state)
{
	static const struct {
		const char *a, *b;
		size_t distance;
	} cases[] = {
		{ "", "", 0 },
		{ "abc", "", 3 },
		{ "bind", "bind", 0 },
		{ "bnd", "bind", 1 },
		{ "bindd", "bind", 1 },
		{ "bond", "bind", 1 },
		{ "bidn", "bind", 1 },
		{ "wrokers", "workers", 1 },
		{ "kitten", "sitting", 3 },
		{ "max_heder", "max_header", 1 },
		{ "ab", "ba", 1 },
		{ "abcdef", "badcfe", 3 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_int_equal(suggest_distance(cases[i].a, cases[i].b),
		    cases[i].distance);
		assert_int_equal(suggest_distance(cases[i].b, cases[i].a),
		    cases[i].distance);
	}
}

static void
a_name_too_long_to_compare_is_near_to_nothing(void **state)
{
	char name[SUGGEST_MAX + 2];
	struct suggestion s = { .name = NULL };

	(void)state;
	memset(name, 'a', sizeof name);
	name[SUGGEST_MAX + 1] = '\0';
	assert_int_equal(suggest_distance(name, "a"), SUGGEST_MAX + 1);
	assert_int_equal(suggest_distance("a", name), SUGGEST_MAX + 1);
	suggest(&s, name, "aaaa");
	assert_null(s.name);
	name[SUGGEST_MAX] = '\0';
	assert_int_equal(suggest_distance(name, "a"), SUGGEST_MAX - 1);
}

static void
the_nearest_wins_and_another_word_is_not_suggested(void **state)
{
	struct suggestion s = { .name = NULL };

	(void)state;
	suggest(&s, "max_heder", "chdir");
	assert_null(s.name);
	suggest(&s, "max_heder", "max_head");
	assert_string_equal(s.name, "max_head");
	suggest(&s, "max_heder", "max_header");
	assert_string_equal(s.name, "max_header");
	suggest(&s, "max_heder", "max_headers");
	assert_string_equal(s.name, "max_header");
	s.name = NULL;
	suggest(&s, "x", "y");
	assert_null(s.name);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(distance_counts_letters_to_change),
		cmocka_unit_test(a_name_too_long_to_compare_is_near_to_nothing),
		cmocka_unit_test(
		    the_nearest_wins_and_another_word_is_not_suggested),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
