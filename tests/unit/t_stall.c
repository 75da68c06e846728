/* Which worker stands still: an idle one must not, a stopped master must not
 * think so of all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "master/stall.h"

#define TIMEOUT 30000

struct look {
	msec_t heartbeat, now;
	enum stall_verdict verdict;
	msec_t due;
};

static void
check(const struct look *t, size_t n)
{
	struct stall s = { 0 };

	for (size_t i = 0; i < n; i++) {
		enum stall_verdict v =
		    stall_judge(&s, t[i].heartbeat, t[i].now, TIMEOUT);

		if (v != t[i].verdict || s.due != t[i].due)
			fail_msg("look %zu: verdict %d, due %ju", i, (int)v,
			    (uintmax_t)s.due);
	}
}

#define CHECK(...)                                                             \
	do {                                                                   \
		static const struct look t[] = { __VA_ARGS__ };                \
		check(t, sizeof t / sizeof t[0]);                              \
	} while (0)

static void
a_busy_worker_is_never_poked(void **state)
{
	(void)state;
	CHECK({ 1000, 1000, STALL_NOTHING, 16000 },
	    { 15999, 16000, STALL_NOTHING, 30999 },
	    { 30900, 30999, STALL_NOTHING, 45900 });
}

static void
an_idle_worker_that_answers_is_left_in_peace(void **state)
{
	(void)state;
	CHECK({ 1000, 1000, STALL_NOTHING, 16000 },
	    { 1000, 16000, STALL_POKE, 31000 },
	    { 16000, 31000, STALL_POKE, 46000 },
	    { 31001, 46000, STALL_NOTHING, 46001 });
}

static void
one_that_does_not_answer_is_stalled_and_told_once(void **state)
{
	(void)state;
	CHECK({ 1000, 16000, STALL_POKE, 31000 },
	    { 1000, 30999, STALL_NOTHING, 31000 },
	    { 1000, 31000, STALL_STALLED, 46000 },
	    { 1000, 46000, STALL_NOTHING, 61000 });
}

static void
one_that_moves_again_is_told_too(void **state)
{
	(void)state;
	CHECK({ 1000, 16000, STALL_POKE, 31000 },
	    { 1000, 31000, STALL_STALLED, 46000 },
	    { 40000, 46000, STALL_REVIVED, 55000 },
	    { 40000, 55000, STALL_POKE, 70000 },
	    { 40000, 70000, STALL_STALLED, 85000 });
}

static void
a_master_that_stood_still_asks_again_before_it_judges(void **state)
{
	(void)state;
	CHECK({ 1000, 16000, STALL_POKE, 31000 },
	    { 1000, 90000, STALL_POKE, 105000 },
	    { 90001, 105000, STALL_NOTHING, 105001 });
}

static void
a_tiny_timeout_does_not_keep_the_master_busy(void **state)
{
	struct stall s = { 0 };

	(void)state;
	assert_int_equal(stall_judge(&s, 1000, 1000, 1), STALL_NOTHING);
	assert_int_equal(s.due, 1050);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_busy_worker_is_never_poked),
		cmocka_unit_test(an_idle_worker_that_answers_is_left_in_peace),
		cmocka_unit_test(
		    one_that_does_not_answer_is_stalled_and_told_once),
		cmocka_unit_test(one_that_moves_again_is_told_too),
		cmocka_unit_test(
		    a_master_that_stood_still_asks_again_before_it_judges),
		cmocka_unit_test(a_tiny_timeout_does_not_keep_the_master_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
