/* The supervisor: how many workers there are, and who takes whose place. */
#include "tests/unit/scenario.h"

/* ---- how many ------------------------------------------------------------ */

static void
more_and_fewer_change_the_number_and_one_stays(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, READY(0), "C1" },
	    { 2, EVENT(MORE), "S1g1" }, { 3, READY(1), "" },
	    { 4, EVENT(FEWER), "R1" }, { 5, EVENT(FEWER), "" });
}

static void
fewer_drops_workers_that_do_not_serve_first(void **state)
{
	(void)state;
	RUN({ 0, START(2), "S0g1 S1g1" }, { 1, READY(0), "" },
	    { 1, READY(1), "C1" }, { 2, EXITED(0, CRASHED), "" },
	    { 3, EVENT(FEWER), "" }, { 200, EVENT(MORE), "S0g1" },
	    { 201, EVENT(FEWER), "K0u" }, { 202, EXITED(0, CRASHED), "" });
}

static void
fewer_does_not_wait_for_a_worker_that_failed_to_boot(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, READY(0), "C1" },
	    { 2, EVENT(MORE), "S1g1" }, { 2 + BOOT, EVENT(TICK), "K1b" },
	    { 3 + BOOT, EVENT(FEWER), "" },
	    { 4 + BOOT, EXITED(1, CRASHED), "" },
	    { 5 + 2 * BOOT, EVENT(TICK), "" });
}

static void
the_number_survives_a_reload_until_the_setting_changes(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, READY(0), "C1" },
	    { 2, EVENT(MORE), "S1g1" }, { 3, READY(1), "" },
	    { 4, RELOAD(2, 1), "S2g2" }, { 5, READY(2), "S3g2" },
	    { 6, READY(3), "C2 R0 R1" }, { 7, EXITED(0, CLEAN), "" },
	    { 7, EXITED(1, CLEAN), "" }, { 8, RELOAD(3, 4), "S0g3" },
	    { 9, READY(0), "S1g3 S4g3 S5g3" });
}

static void
more_and_fewer_reach_a_trial_too(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RELOAD(2, 2), "S2g2" }, { 6, READY(2), "S3g2" },
	    { 7, EVENT(FEWER), "R1 K3u C2 R0" });
}

static void
scale_sets_the_number_at_once(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, SCALE(4), "S2g1 S3g1" }, { 6, READY(2), "" },
	    { 7, SCALE(1), "K3u R2 R1" }, { 8, SCALE(1), "" });
}

static void
scale_reaches_a_trial_and_survives_its_commit(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RELOAD(2, 2), "S2g2" }, { 6, READY(2), "S3g2" },
	    { 7, SCALE(1), "R1 K3u C2 R0" }, { 8, RELOAD(3, 2), "S4g3" },
	    { 9, READY(4), "C3 R2" });
}

static void
scale_is_over_when_the_setting_changes(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, READY(0), "C1" },
	    { 2, SCALE(2), "S1g1" }, { 3, READY(1), "" },
	    { 4, RELOAD(2, 3), "S2g2" }, { 5, READY(2), "S3g2 S4g2" });
}

static void
scale_while_paused_counts_when_the_pause_is_over(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, EVENT(PAUSE), "R1 R0" }, { 6, SCALE(1), "" },
	    { 7, EXITED(0, CLEAN), "" }, { 7, EXITED(1, CLEAN), "" },
	    { 8, RELOAD(2, 2), "S0g2" }, { 9, READY(0), "C2" });
}

static void
there_are_never_more_workers_than_the_settings_allow(void **state)
{
	struct sup *s = sup_new(8);
	const struct sup_event start = START(SUP_WORKERS_MAX),
			       more = EVENT(MORE);

	(void)state;
	assert_int_equal(sup_step(s, &start, 0).n, 8);
	sup_step(s, &more, 1);
	assert_int_equal(sup_count(s).want, SUP_WORKERS_MAX);
	assert_int_equal(sup_count(s).alive, 8);
	assert_int_equal(sup_count(s).ready, 0);
	sup_free(&s);
}

/* ---- recycling ------------------------------------------------------------
 */

static void
a_worker_is_recycled_once_its_successor_is_ready(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RECYCLE(0), "S2g1" }, { 6, RECYCLE(1), "" },
	    { 7, READY(2), "R1 S3g1" }, { 8, READY(3), "R0" });
}

static void
a_recycled_worker_that_dies_first_is_not_replaced_twice(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RECYCLE(0), "S2g1" }, { 6, EXITED(0, CRASHED), "" },
	    { 200, EVENT(TICK), "" }, { 201, READY(2), "" });
}

static void
a_recycled_worker_serves_on_while_its_successor_fails(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RECYCLE(0), "S2g1" },
	    { 6, EXITED(2, CANNOT_LOAD), "" }, { 106, EVENT(TICK), "S2g1" },
	    { 107, READY(2), "R0" });
}

static void
a_worker_that_must_go_at_once_retires_before_its_successor_serves(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, ASKS(0, RECYCLE_NOW), "R0" },
	    { 6, ASKS(0, RECYCLE_NOW), "" }, { 105, EVENT(TICK), "S2g1" },
	    { 106, READY(2), "" }, { 5 + GRACE, EVENT(TICK), "K0g" });
}

static void
what_is_too_large_from_the_start_comes_ever_later(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, ASKS(0, RECYCLE_NOW), "R0" },
	    { 6, EXITED(0, CLEAN), "" }, { 105, EVENT(TICK), "S2g1" },
	    { 106, READY(2), "" }, { 107, ASKS(2, RECYCLE_NOW), "R2" },
	    { 306, EVENT(TICK), "" }, { 307, EVENT(TICK), "S0g1" },
	    { 308, READY(0), "" }, { 309, ASKS(0, TOO_LARGE), "" },
	    { 708, EVENT(TICK), "" }, { 709, EVENT(TICK), "S3g1" },
	    { 710, READY(3), "R0" }, { 711, ASKS(3, TOO_LARGE), "" },
	    { 1510, EVENT(TICK), "" }, { 1511, EVENT(TICK), "S4g1" },
	    { 1512, READY(4), "R3" },
	    /* 20 s of service make up for two */
	    { 21512, ASKS(4, TOO_LARGE), "" }, { 21911, EVENT(TICK), "" },
	    { 21912, EVENT(TICK), "S5g1" });
}

static void
one_that_crashes_while_its_successor_waits_is_not_replaced_twice(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, ASKS(0, TOO_LARGE), "" },
	    { 6, EXITED(0, CRASHED), "" }, { 105, EVENT(TICK), "" },
	    { 106, EVENT(TICK), "S0g1" }, { 107, READY(0), "" });
}

static void
a_worker_that_grew_after_it_asked_does_not_delay_its_successor(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RECYCLE(0), "S2g1" }, { 6, ASKS(0, TOO_LARGE), "" },
	    { 7, READY(2), "R0" });
}

static void
a_worker_that_serves_alone_never_goes_at_once(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, EXITED(1, CRASHED), "" },
	    { 6, ASKS(0, RECYCLE_NOW), "" }, { 105, EVENT(TICK), "S1g1" },
	    { 106, EVENT(TICK), "S2g1" }, { 107, READY(2), "" },
	    { 108, READY(1), "R0" });
}

static void
a_worker_that_stands_still_is_no_help(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, ASKS(1, STALLED), "S2g1" },
	    { 6, ASKS(0, RECYCLE_NOW), "" }, { 7, READY(2), "K1h" },
	    { 107, EVENT(TICK), "S3g1" }, { 108, READY(3), "R0" });
}

static void
a_worker_that_goes_at_once_takes_its_successor_along(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RECYCLE(0), "S2g1" },
	    { 6, ASKS(0, RECYCLE_NOW), "R0" }, { 7, READY(2), "" });
}

/* ---- stalls -------------------------------------------------------------- */

static void
a_stalled_worker_is_killed_once_its_successor_is_ready(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, ASKS(0, STALLED), "S2g1" },
	    { 6, ASKS(0, STALLED), "" }, { 7, READY(2), "K0h" },
	    { 8, EXITED(0, CRASHED), "" });
}

static void
stalled_workers_are_replaced_one_by_one(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, ASKS(0, STALLED), "S2g1" },
	    { 5, ASKS(1, STALLED), "" }, { 7, READY(2), "K1h S3g1" },
	    { 8, READY(3), "K0h" }, { 9, EXITED(1, CRASHED), "" },
	    { 9, EXITED(0, CRASHED), "" });
}

static void
a_stalled_worker_that_moves_again_retires_in_peace(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, ASKS(0, STALLED), "S2g1" },
	    { 6, ASKS(0, REVIVED), "" }, { 7, READY(2), "R0" });
}

static void
a_stalled_worker_that_dies_has_a_successor_already(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, ASKS(0, STALLED), "S2g1" },
	    { 6, EXITED(0, CRASHED), "" }, { 7, READY(2), "" },
	    { 8, EXITED(2, CRASHED), "" }, { 108, EVENT(TICK), "S2g1" },
	    { 109, READY(2), "" });
}

static void
nobody_waits_for_a_stalled_worker_to_retire(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, ASKS(0, STALLED), "S2g1" },
	    { 6, EVENT(DRAIN), "K2u K0h R1" }, { 7, EXITED(2, CRASHED), "" },
	    { 7, EXITED(0, CRASHED), "" }, { 8, EXITED(1, CLEAN), "X0" });
}

static void
a_trial_outlives_a_stalled_worker_of_its_own(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RELOAD(2, 2), "S2g2" }, { 6, READY(2), "S3g2" },
	    { 7, ASKS(2, STALLED), "" }, { 8, READY(3), "C2 R0 R1 S4g2" },
	    { 9, READY(4), "K2h" });
}

#define T(name) cmocka_unit_test(name)
static const struct CMUnitTest tests[] = {
	T(more_and_fewer_change_the_number_and_one_stays),
	T(fewer_drops_workers_that_do_not_serve_first),
	T(fewer_does_not_wait_for_a_worker_that_failed_to_boot),
	T(the_number_survives_a_reload_until_the_setting_changes),
	T(more_and_fewer_reach_a_trial_too),
	T(scale_sets_the_number_at_once),
	T(scale_reaches_a_trial_and_survives_its_commit),
	T(scale_is_over_when_the_setting_changes),
	T(scale_while_paused_counts_when_the_pause_is_over),
	T(there_are_never_more_workers_than_the_settings_allow),
	T(a_worker_is_recycled_once_its_successor_is_ready),
	T(a_recycled_worker_that_dies_first_is_not_replaced_twice),
	T(a_recycled_worker_serves_on_while_its_successor_fails),
	T(a_worker_that_must_go_at_once_retires_before_its_successor_serves),
	T(what_is_too_large_from_the_start_comes_ever_later),
	T(one_that_crashes_while_its_successor_waits_is_not_replaced_twice),
	T(a_worker_that_grew_after_it_asked_does_not_delay_its_successor),
	T(a_worker_that_serves_alone_never_goes_at_once),
	T(a_worker_that_stands_still_is_no_help),
	T(a_worker_that_goes_at_once_takes_its_successor_along),
	T(a_stalled_worker_is_killed_once_its_successor_is_ready),
	T(stalled_workers_are_replaced_one_by_one),
	T(a_stalled_worker_that_moves_again_retires_in_peace),
	T(a_stalled_worker_that_dies_has_a_successor_already),
	T(nobody_waits_for_a_stalled_worker_to_retire),
	T(a_trial_outlives_a_stalled_worker_of_its_own),
};

int
main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
