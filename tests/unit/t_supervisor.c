/* The supervisor: starts, crashes, reloads. */
#include "tests/unit/scenario.h"

/* ---- the first start ---------------------------------------------------- */

static void
a_start_spawns_all_workers_and_commits_when_they_are_ready(void **state)
{
	(void)state;
	RUN({ 0, START(2), "S0g1 S1g1" }, { 1, READY(1), "" },
	    { 2, READY(0), "C1" });
}

static void
a_first_worker_that_cannot_boot_ends_the_program_with_3(void **state)
{
	(void)state;
	RUN({ 0, START(2), "S0g1 S1g1" }, { 1, EXITED(0, CANNOT_BOOT), "K1u" },
	    { 2, EXITED(1, CRASHED), "X3" });
}

static void
an_application_that_cannot_load_ends_the_first_start_with_4(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, EXITED(0, CANNOT_LOAD), "X4" });
}

static void
a_crash_while_booting_ends_the_first_start(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, EXITED(0, CRASHED), "X3" });
}

static void
a_first_worker_that_is_not_ready_in_time_ends_the_program(void **state)
{
	(void)state;
	RUN({ 0, START(2), "S0g1 S1g1" }, { BOOT, EVENT(TICK), "K0b K1b" },
	    { BOOT + 1, EXITED(0, CRASHED), "" },
	    { BOOT + 2, EXITED(1, CRASHED), "X3" });
}

static void
once_a_worker_was_ready_no_failure_ends_the_program(void **state)
{
	(void)state;
	RUN({ 0, START(2), "S0g1 S1g1" }, { 1, READY(0), "" },
	    { 2, EXITED(1, CANNOT_LOAD), "C1" },
	    { 3, EXITED(0, CANNOT_BOOT), "" }, { 102, EVENT(TICK), "S1g1" },
	    { 103, EVENT(TICK), "S0g1" });
}

static void
a_fork_that_fails_at_the_first_start_is_tried_again(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 0, NOFORK(0), "" },
	    { 99, EVENT(TICK), "" }, { 100, EVENT(TICK), "S0g1" },
	    { 101, READY(0), "C1" });
}

/* ---- crashes ------------------------------------------------------------ */

static void
a_crashing_worker_is_replaced_ever_more_slowly(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, READY(0), "C1" },
	    { 10, EXITED(0, CRASHED), "" }, { 109, EVENT(TICK), "" },
	    { 110, EVENT(TICK), "S0g1" }, { 120, EXITED(0, CRASHED), "" },
	    { 319, EVENT(TICK), "" }, { 320, EVENT(TICK), "S0g1" });
}

static void
a_crash_right_after_ready_slows_the_loop_as_well(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, READY(0), "C1" },
	    { 2, EXITED(0, CRASHED), "" }, { 102, EVENT(TICK), "S0g1" },
	    { 103, READY(0), "" }, { 104, EXITED(0, CRASHED), "" },
	    { 303, EVENT(TICK), "" }, { 304, EVENT(TICK), "S0g1" });
}

static void
the_backoff_ends_at_thirty_seconds_and_service_forgives_it(void **state)
{
	struct sup *s = sup_new(4);
	const struct sup_event start = START(1), ready = READY(0),
			       crash = EXITED(0, CRASHED), tick = EVENT(TICK);
	msec_t now = 0, wait = 0, before;

	(void)state;
	sup_step(s, &start, now);
	sup_step(s, &ready, now);
	for (int i = 0; i < 20; i++) {
		before = wait;
		sup_step(s, &crash, now);
		wait = sup_wait(s, 0, now);
		assert_true(wait >= before && wait <= 30000);
		assert_int_equal(sup_wait(s, 0, now + wait), 0);
		now += wait;
		assert_int_equal(sup_step(s, &tick, now).n, 1);
		assert_int_equal(sup_wait(s, 0, now), 0);
	}
	assert_int_equal(wait, 30000);
	sup_step(s, &ready, now);
	now += 20000; /* two crashes forgiven */
	sup_step(s, &crash, now);
	assert_int_equal(sup_wait(s, 0, now), 12800);
	now += 12800;
	sup_step(s, &tick, now);
	sup_step(s, &ready, now);
	now += 1000000; /* all of them */
	sup_step(s, &crash, now);
	assert_int_equal(sup_wait(s, 0, now), 100);
	sup_free(&s);
}

static void
a_worker_that_leaves_unasked_counts_as_crashed(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, READY(0), "C1" },
	    { 2, EXITED(0, CLEAN), "" }, { 102, EVENT(TICK), "S0g1" });
}

static void
a_replacement_that_is_not_ready_in_time_is_killed_and_retried(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, READY(0), "C1" },
	    { 2, EXITED(0, CRASHED), "" }, { 102, EVENT(TICK), "S0g1" },
	    { BOOT + 102, EVENT(TICK), "K0b" }, { BOOT + 103, READY(0), "" },
	    { BOOT + 104, EXITED(0, CRASHED), "" },
	    { BOOT + 304, EVENT(TICK), "S0g1" });
}

static void
news_of_a_slot_without_a_process_changes_nothing(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, READY(0), "C1" },
	    { 2, EXITED(3, CRASHED), "" }, { 3, READY(3), "" },
	    { 4, RECYCLE(3), "" }, { 5, EXITED(0, CRASHED), "" },
	    { 6, EXITED(0, CRASHED), "" }, { 105, EVENT(TICK), "S0g1" });
}

/* ---- reload -------------------------------------------------------------- */

static void
a_reload_tries_one_worker_then_the_rest_then_retires_the_old(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RELOAD(2, 3), "S2g2" },
	    { 6, READY(2), "S3g2 S4g2" }, { 7, READY(4), "" },
	    { 8, READY(3), "C2 R0 R1" }, { 9, EXITED(0, CLEAN), "" },
	    { 8 + GRACE, EVENT(TICK), "K1g" },
	    { 9 + GRACE, EXITED(1, CRASHED), "" });
}

static void
what_was_said_in_time_is_heard_though_the_master_stood_still(void **state)
{
	(void)state;
	RUN({ 0, START(2), "S0g1 S1g1" }, { BOOT + 1, READY(0), "" },
	    { BOOT + 1, READY(1), "C1" }, { BOOT + 2, EVENT(TICK), "" });
	RUN({ 0, START(2), "S0g1 S1g1" }, { BOOT + 1, READY(0), "" },
	    { BOOT + 2, EVENT(TICK), "K1b C1" });
}

static void
a_trial_that_cannot_boot_changes_nothing(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RELOAD(2, 2), "S2g2" },
	    { 6, EXITED(2, CANNOT_LOAD), "B2x" }, { 7, EVENT(TICK), "" },
	    { 8, RELOAD(3, 2), "S2g3" });
}

static void
a_trial_that_hangs_is_rolled_back_after_boot_timeout(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RELOAD(2, 2), "S2g2" }, { 6, READY(2), "S3g2" },
	    { 6 + BOOT, EVENT(TICK), "K3b B2b R2" },
	    { 7 + BOOT, EXITED(3, CRASHED), "" },
	    { 8 + BOOT, EXITED(2, CLEAN), "" });
}

static void
a_trial_worker_that_crashes_after_ready_rolls_back_the_others(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RELOAD(2, 3), "S2g2" },
	    { 6, READY(2), "S3g2 S4g2" }, { 7, READY(3), "" },
	    { 8, EXITED(2, CRASHED), "B2x K4u R3" });
}

static void
a_fork_that_fails_rolls_the_trial_back(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RELOAD(2, 2), "S2g2" }, { 5, NOFORK(2), "B2f" });
}

static void
a_newer_reload_supersedes_one_on_trial(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RELOAD(2, 1), "S2g2" },
	    { 6, RELOAD(3, 1), "B2n K2u S3g3" }, { 7, READY(3), "C3 R0 R1" });
}

static void
an_old_worker_that_crashes_during_a_trial_is_replaced_as_it_was(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RELOAD(2, 1), "S2g2" },
	    { 6, EXITED(0, CRASHED), "" }, { 106, EVENT(TICK), "S0g1" },
	    { 107, EXITED(1, CRASHED), "" }, { 108, READY(2), "C2 K0u" });
}

static void
a_trial_worker_stays_while_it_alone_serves(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RELOAD(2, 2), "S2g2" }, { 6, READY(2), "S3g2" },
	    { 7, EXITED(0, CRASHED), "" }, { 7, EXITED(1, CRASHED), "" },
	    { 8, EXITED(3, CANNOT_BOOT), "B2x" },
	    { 107, EVENT(TICK), "S0g1 S1g1" }, { 108, READY(0), "R2" });
}

static void
a_leftover_that_crashes_is_not_replaced(void **state)
{
	(void)state;
	RUN(SERVING_2, { 5, RELOAD(2, 2), "S2g2" }, { 6, READY(2), "S3g2" },
	    { 7, EXITED(0, CRASHED), "" }, { 7, EXITED(1, CRASHED), "" },
	    { 8, EXITED(3, CANNOT_BOOT), "B2x" }, { 9, EXITED(2, CRASHED), "" },
	    { 107, EVENT(TICK), "S0g1 S1g1" });
}

static void
a_reload_may_overtake_the_first_start(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, RELOAD(2, 1), "S1g2" },
	    { 2, READY(1), "C2 K0u" }, { 3, EXITED(0, CRASHED), "" });
}

static void
a_first_start_that_fails_takes_a_trial_with_it(void **state)
{
	(void)state;
	RUN({ 0, START(1), "S0g1" }, { 1, RELOAD(2, 1), "S1g2" },
	    { 2, EXITED(0, CANNOT_BOOT), "B2s K1u" },
	    { 3, EXITED(1, CRASHED), "X3" });
}

static void
a_trial_waits_for_room_when_too_many_processes_linger(void **state)
{
	(void)state;
	RUN_IN(2, { 0, START(1), "S0g1" }, { 1, READY(0), "C1" },
	    { 2, RELOAD(2, 1), "S1g2" }, { 3, READY(1), "C2 R0" },
	    { 4, RELOAD(3, 1), "" }, { 5, EXITED(0, CLEAN), "S0g3" },
	    { 6, READY(0), "C3 R1" });
}

static void
a_worker_beyond_the_slots_there_are_waits_for_one(void **state)
{
	struct sup *s = sup_new(2);
	const struct sup_event start = START(1), ready0 = READY(0),
			       reload = RELOAD(2, 1), ready1 = READY(1),
			       crash = EXITED(1, CRASHED), tick = EVENT(TICK);
	struct sup_event more = EVENT(MORE);
	struct sup_plan p;

	(void)state;
	sup_step(s, &start, 0);
	sup_step(s, &ready0, 1);
	sup_step(s, &reload, 2);
	sup_step(s, &ready1, 3); /* 0 retires, 1 serves */
	sup_step(s, &crash, 4);
	p = sup_step(s, &more, 5);
	assert_int_equal(p.n, 0); /* both slots are taken */
	assert_int_equal(p.wake_at, 104);
	p = sup_step(s, &tick, 104);
	assert_int_equal(p.n, 1);
	assert_int_equal(p.act[0].kind, ACT_SPAWN);
	assert_int_equal(p.wake_at, 3 + GRACE);
	sup_free(&s);
}

/* Leaves 18 workers retiring and slot 18 serving generation 19. */
static void
commit_eighteen_times(struct sup *s)
{
	const struct sup_event start = START(1);
	struct sup_event reload = RELOAD(0, 1), ready = READY(0);

	sup_step(s, &start, 0);
	sup_step(s, &ready, 0);
	for (unsigned i = 1; i <= 18; i++) {
		reload.generation = i + 1;
		ready.slot = i;
		sup_step(s, &reload, 0);
		sup_step(s, &ready, 0);
	}
}

static void
a_slot_without_room_does_not_keep_the_clock_busy(void **state)
{
	struct sup *s = sup_new(64);
	const struct sup_event crash = EXITED(18, CRASHED),
			       reload = RELOAD(20, 1), tick = EVENT(TICK),
			       gone = EXITED(0, CLEAN);
	struct sup_plan p;

	(void)state;
	commit_eighteen_times(s);
	assert_int_equal(sup_count(s).alive, 19); /* 3 * want + 16 */
	sup_step(s, &crash, 1);
	assert_int_equal(sup_count(s).alive, 18);
	sup_step(s, &reload, 2);
	p = sup_step(s, &tick, 101); /* the trial took the room */
	assert_int_equal(p.n, 0);
	assert_int_equal(p.wake_at, GRACE);
	p = sup_step(s, &gone, 102);
	assert_int_equal(p.n, 1);
	assert_int_equal(p.act[0].kind, ACT_SPAWN);
	assert_int_equal(p.act[0].slot, 18);
	sup_free(&s);
}

#define T(name) cmocka_unit_test(name)
static const struct CMUnitTest tests[] = {
	T(a_start_spawns_all_workers_and_commits_when_they_are_ready),
	T(a_first_worker_that_cannot_boot_ends_the_program_with_3),
	T(an_application_that_cannot_load_ends_the_first_start_with_4),
	T(a_crash_while_booting_ends_the_first_start),
	T(what_was_said_in_time_is_heard_though_the_master_stood_still),
	T(a_first_worker_that_is_not_ready_in_time_ends_the_program),
	T(once_a_worker_was_ready_no_failure_ends_the_program),
	T(a_fork_that_fails_at_the_first_start_is_tried_again),
	T(a_crashing_worker_is_replaced_ever_more_slowly),
	T(a_crash_right_after_ready_slows_the_loop_as_well),
	T(the_backoff_ends_at_thirty_seconds_and_service_forgives_it),
	T(a_worker_that_leaves_unasked_counts_as_crashed),
	T(a_replacement_that_is_not_ready_in_time_is_killed_and_retried),
	T(news_of_a_slot_without_a_process_changes_nothing),
	T(a_reload_tries_one_worker_then_the_rest_then_retires_the_old),
	T(a_trial_that_cannot_boot_changes_nothing),
	T(a_trial_that_hangs_is_rolled_back_after_boot_timeout),
	T(a_trial_worker_that_crashes_after_ready_rolls_back_the_others),
	T(a_fork_that_fails_rolls_the_trial_back),
	T(a_newer_reload_supersedes_one_on_trial),
	T(an_old_worker_that_crashes_during_a_trial_is_replaced_as_it_was),
	T(a_trial_worker_stays_while_it_alone_serves),
	T(a_leftover_that_crashes_is_not_replaced),
	T(a_reload_may_overtake_the_first_start),
	T(a_first_start_that_fails_takes_a_trial_with_it),
	T(a_trial_waits_for_room_when_too_many_processes_linger),
	T(a_worker_beyond_the_slots_there_are_waits_for_one),
	T(a_slot_without_room_does_not_keep_the_clock_busy),
};

int
main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
