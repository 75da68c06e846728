#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "common/clock.h"
#include "worker/habit.h"

/* So many handlers that took so long, each asleep in between or not. */
static void
handlers(struct habit *h, unsigned n, uint64_t us, bool sleep)
{
	for (unsigned i = 0; i < n; i++) {
		long begun = habit_begin(h);

		if (sleep)
			nanosleep(&(struct timespec){ .tv_nsec = 1 }, NULL);
		habit_note(h, begun, us * NS_PER_US);
	}
}

static void
the_average_follows_what_handlers_take(void **state)
{
	struct habit h;

	(void)state;
	habit_init(&h);
	assert_true(habit_is_brisk(&h) && habit_is_fast(&h));
	handlers(&h, 60, 50, false);
	assert_int_equal(habit_average_us(&h), 50);
	assert_true(!habit_is_brisk(&h) && habit_is_fast(&h));
	handlers(&h, 60, 10, false);
	assert_int_equal(habit_average_us(&h), 10);
	assert_true(habit_is_brisk(&h));
}

static void
one_that_takes_for_ever_is_forgotten_in_time(void **state)
{
	struct habit h;

	(void)state;
	habit_init(&h);
	handlers(&h, 1, UINT64_MAX / NS_PER_US, false);
	assert_false(habit_is_fast(&h));
	handlers(&h, 60, 10, false);
	assert_true(habit_is_fast(&h));
}

static void
who_waits_is_slow_sooner_than_who_computes(void **state)
{
	struct habit h;

	(void)state;
	habit_init(&h);
	handlers(&h, 60, 500, true);
	assert_false(habit_is_fast(&h));
	handlers(&h, 60, 500, false);
	assert_true(habit_is_fast(&h));
	handlers(&h, 60, 500, true);
	assert_false(habit_is_fast(&h));
	handlers(&h, 60, 2000, false);
	assert_false(habit_is_fast(&h));
}

static void
an_app_nobody_knows_yet_is_taken_to_wait(void **state)
{
	struct habit h;

	(void)state;
	habit_init(&h);
	handlers(&h, 1, 4000, false);
	assert_int_equal(habit_average_us(&h), 500);
	assert_false(habit_is_fast(&h));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_average_follows_what_handlers_take),
		cmocka_unit_test(one_that_takes_for_ever_is_forgotten_in_time),
		cmocka_unit_test(who_waits_is_slow_sooner_than_who_computes),
		cmocka_unit_test(an_app_nobody_knows_yet_is_taken_to_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
