/* The supervisor: pauses, reopened logs, drains. */
#include "tests/unit/scenario.h"

/* ---- pause, reopen, stop ---------------------------------------------------
 */

static void
a_pause_retires_all_and_a_reload_brings_them_back(void **state)
{
	(void)state;
	RUN(SERVING_2, { 4, RELOAD(2, 2), "S2g2" },
	    { 5, EVENT(PAUSE), "B2s K2u R1 R0" }, { 6, EXITED(0, CLEAN), "" },
	    { 6, EXITED(1, CLEAN), "" }, { 6, EXITED(2, CRASHED), "" },
	    { 7, EVENT(MORE), "" }, { 8, EVENT(FEWER), "" },
	    { 9, RELOAD(3, 2), "S0g3" }, { 10, READY(0), "S1g3" },
	    { 11, READY(1), "C3" });
}

static void
a_reload_that_fails_leaves_the_pause_as_it_was(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, READY(0), "C1" },
	    { 2, EVENT(PAUSE), "R0" }, { 3, EXITED(0, CLEAN), "" },
	    { 4, RELOAD(2, 1), "S0g2" }, { 5, EXITED(0, CANNOT_LOAD), "B2x" },
	    { 6, EVENT(TICK), "" });
}

static void
reopen_is_passed_on(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, EVENT(REOPEN), "L" });
}

static void
a_drain_retires_all_and_exits_when_they_are_gone(void **state)
{
	(void)state;
	RUN({ 0, START(3), "S0g1 S1g1 S2g1" }, { 1, READY(0), "" },
	    { 1, READY(1), "" }, { 2, EXITED(2, CRASHED), "C1" },
	    { 102, EVENT(TICK), "S2g1" }, { 103, EVENT(DRAIN), "K2u R1 R0" },
	    { 104, EXITED(2, CRASHED), "" }, { 105, EXITED(1, CLEAN), "" },
	    { 106, EXITED(0, CLEAN), "X0" });
}

static void
a_drain_kills_what_takes_longer_than_the_grace(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, READY(0), "C1" },
	    { 2, EVENT(DRAIN), "R0" }, { 1 + GRACE, EVENT(TICK), "" },
	    { 2 + GRACE, EVENT(TICK), "K0g" }, { 3 + GRACE, EVENT(TICK), "" },
	    { 4 + GRACE, EXITED(0, CRASHED), "X0" });
}

static void
no_grace_means_killed_at_the_next_tick(void **state)
{
	struct sup *s = sup_new(2);
	struct sup_event start = START(1);
	const struct sup_event ready = READY(0), drain = EVENT(DRAIN),
			       tick = EVENT(TICK);

	(void)state;
	start.conf.grace = 0;
	sup_step(s, &start, 1);
	sup_step(s, &ready, 2);
	assert_int_equal(sup_step(s, &drain, 3).wake_at, 3);
	assert_int_equal(sup_step(s, &tick, 3).act[0].kind, ACT_KILL);
	sup_free(&s);
}

static void
a_drain_during_a_trial_rolls_it_back(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RELOAD(2, 2), "S2g2" }, { 6, READY(2), "S3g2" },
	    { 7, EVENT(DRAIN), "B2s K3u R1 R0 R2" });
}

static void
a_reload_while_draining_is_refused(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, EVENT(DRAIN), "R1 R0" }, { 6, RELOAD(2, 2), "B2s" },
	    { 7, EXITED(0, CLEAN), "" }, { 7, EXITED(1, CLEAN), "X0" });
}

static void
a_second_drain_gives_two_seconds_and_a_third_none(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, EVENT(DRAIN), "R1 R0" },
	    { 6, EVENT(DRAIN), "Q0 Q1" }, { 7, EVENT(DRAIN), "K0g K1g" },
	    { 8, EXITED(0, CRASHED), "" }, { 8, EXITED(1, CRASHED), "X0" });
}

static void
an_abort_asks_ready_workers_to_quit_and_kills_the_others(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, EVENT(MORE), "S2g1" },
	    { 6, EVENT(ABORT), "Q0 Q1 K2s" }, { 2005, EVENT(TICK), "" },
	    { 2006, EVENT(TICK), "K0g K1g" }, { 2007, EXITED(0, CRASHED), "" },
	    { 2007, EXITED(1, CRASHED), "" },
	    { 2007, EXITED(2, CRASHED), "X0" });
}

static void
an_abort_does_not_lengthen_a_grace_that_ends_sooner(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, EVENT(DRAIN), "R1 R0" },
	    { 4 + GRACE, EVENT(ABORT), "Q0 Q1" },
	    { 5 + GRACE, EVENT(TICK), "K0g K1g" });
}

#define SLOW_STOP                                                              \
	{                                                                      \
		.kind = SUP_START, .generation = 1, .conf = {                  \
			.want = 2,                                             \
			.boot_timeout = BOOT,                                  \
			.grace = GRACE,                                        \
			.delay = 5000                                          \
		}                                                              \
	}

static void
a_drain_with_a_delay_serves_as_before_until_it_is_over(void **state)
{
	(void)state;
	RUN({ 0, SLOW_STOP, "S0g1 S1g1" }, { 1, READY(0), "" },
	    { 1, READY(1), "C1" }, { 10, EVENT(DRAIN), "" },
	    { 11, EXITED(0, CRASHED), "" }, { 111, EVENT(TICK), "S0g1" },
	    { 112, READY(0), "" }, { 113, RELOAD(2, 2), "B2s" },
	    { 5009, EVENT(TICK), "" }, { 5010, EVENT(TICK), "R1 R0" },
	    { 5011, EXITED(0, CLEAN), "" }, { 5011, EXITED(1, CLEAN), "X0" });
}

static void
the_delay_of_a_drain_wakes_the_master_in_time(void **state)
{
	struct sup *s = sup_new(4);
	const struct sup_event start = SLOW_STOP, ready0 = READY(0),
			       ready1 = READY(1), drain = EVENT(DRAIN),
			       more = EVENT(MORE), tick = EVENT(TICK);

	(void)state;
	sup_step(s, &start, 0);
	sup_step(s, &ready0, 1);
	sup_step(s, &ready1, 1);
	assert_false(sup_count(s).leaving);
	assert_int_equal(sup_step(s, &drain, 10).wake_at, 5010);
	assert_true(sup_count(s).leaving);
	assert_false(sup_count(s).stopping);
	assert_int_equal(sup_step(s, &more, 20).wake_at, 5010);
	assert_int_equal(sup_step(s, &tick, 5010).wake_at, 5010 + GRACE);
	assert_false(sup_count(s).leaving);
	assert_true(sup_count(s).stopping);
	sup_free(&s);
}

static void
a_second_drain_does_not_wait_for_the_delay(void **state)
{
	(void)state;
	RUN({ 0, SLOW_STOP, "S0g1 S1g1" }, { 1, READY(0), "" },
	    { 1, READY(1), "C1" }, { 10, EVENT(DRAIN), "" },
	    { 11, EVENT(DRAIN), "Q0 Q1" }, { 2011, EVENT(TICK), "K0g K1g" });
}

static void
a_drain_has_no_delay_when_nobody_is_served(void **state)
{
	(void)state;
	RUN({ 0, SLOW_STOP, "S0g1 S1g1" }, { 1, EVENT(DRAIN), "K1u K0u" });
}

static void
stopping_with_no_worker_left_exits_at_once(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, READY(0), "C1" },
	    { 2, EXITED(0, CRASHED), "" }, { 3, EVENT(DRAIN), "X0" });
}

#define T(name) cmocka_unit_test(name)
static const struct CMUnitTest tests[] = {
	T(a_pause_retires_all_and_a_reload_brings_them_back),
	T(a_reload_that_fails_leaves_the_pause_as_it_was),
	T(reopen_is_passed_on),
	T(a_drain_retires_all_and_exits_when_they_are_gone),
	T(a_drain_kills_what_takes_longer_than_the_grace),
	T(no_grace_means_killed_at_the_next_tick),
	T(a_drain_during_a_trial_rolls_it_back),
	T(a_reload_while_draining_is_refused),
	T(a_second_drain_gives_two_seconds_and_a_third_none),
	T(an_abort_asks_ready_workers_to_quit_and_kills_the_others),
	T(an_abort_does_not_lengthen_a_grace_that_ends_sooner),
	T(a_drain_with_a_delay_serves_as_before_until_it_is_over),
	T(the_delay_of_a_drain_wakes_the_master_in_time),
	T(a_second_drain_does_not_wait_for_the_delay),
	T(a_drain_has_no_delay_when_nobody_is_served),
	T(stopping_with_no_worker_left_exits_at_once),
};

int
main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
