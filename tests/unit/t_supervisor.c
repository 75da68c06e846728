/* Supervision as scenarios: at a time an event, and the plan it leads to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "master/supervisor.h"

#define GRACE 30000
#define BOOT  60000

/*
 * Plans: S0g1 spawn slot 0 for generation 1, R0 retire, Q0 quit, K0b kill slot
 * 0 because of its boot timeout (g grace over, h hangs, u unwanted, s
 * stopping), C2
 * commit generation 2, B2x roll back generation 2 because a worker exited (b
 * boot timeout, f no process, n newer reload, s stopping), L reopen logs, X3
 * exit with status 3.
 */
struct step {
	msec_t now;
	struct sup_event ev;
	const char *plan;
};

static char
why_letter(enum sup_why why)
{
	switch (why) {
	case WHY_NOTHING: break;
	case WHY_EXITED: return 'x';
	case WHY_BOOT_TIMEOUT: return 'b';
	case WHY_GRACE_OVER: return 'g';
	case WHY_NO_PROCESS: return 'f';
	case WHY_STALLED: return 'h';
	case WHY_UNWANTED: return 'u';
	case WHY_SUPERSEDED: return 'n';
	case WHY_STOPPING: return 's';
	}
	return '?';
}

static int
show_action(const struct sup_action *a, char *buf, size_t n)
{
	switch (a->kind) {
	case ACT_SPAWN:
		return snprintf(buf, n, "S%ug%u", a->slot, a->generation);
	case ACT_RETIRE: return snprintf(buf, n, "R%u", a->slot);
	case ACT_QUIT: return snprintf(buf, n, "Q%u", a->slot);
	case ACT_KILL:
		return snprintf(buf, n, "K%u%c", a->slot, why_letter(a->why));
	case ACT_COMMIT: return snprintf(buf, n, "C%u", a->generation);
	case ACT_ROLLBACK:
		return snprintf(buf, n, "B%u%c", a->generation,
		    why_letter(a->why));
	case ACT_REOPEN: return snprintf(buf, n, "L");
	case ACT_EXIT: return snprintf(buf, n, "X%d", a->status);
	}
	return -1;
}

static void
show(struct sup_plan p, char *buf, size_t n)
{
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < p.n; i++) {
		if (i > 0)
			buf[at++] = ' ';
		at += (size_t)show_action(&p.act[i], buf + at, n - at);
	}
}

static void
run(unsigned slots, const struct step *t, size_t n)
{
	struct sup *s = sup_new(slots);
	struct sup_plan plan;
	char buf[512];

	assert_non_null(s);
	for (size_t i = 0; i < n; i++) {
		plan = sup_step(s, &t[i].ev, t[i].now);
		show(plan, buf, sizeof buf);
		if (strcmp(buf, t[i].plan) != 0)
			fail_msg("step %zu: planned \"%s\", want \"%s\"", i,
			    buf, t[i].plan);
		for (size_t j = 0; j < plan.n; j++)
			assert_true(plan.act[j].slot < slots);
	}
	sup_free(&s);
	assert_null(s);
	sup_free(&s); /* there is nothing left to free */
}

#define RUN_IN(slots, ...)                                                     \
	do {                                                                   \
		static const struct step t[] = { __VA_ARGS__ };                \
		run(slots, t, sizeof t / sizeof t[0]);                         \
	} while (0)
#define RUN(...) RUN_IN(64, __VA_ARGS__)

#define CONF(n)                                                                \
	{                                                                      \
		.want = (n), .boot_timeout = BOOT, .grace = GRACE              \
	}
#define START(n)                                                               \
	{                                                                      \
		.kind = SUP_START, .generation = 1, .conf = CONF(n)            \
	}
#define RELOAD(g, n)                                                           \
	{                                                                      \
		.kind = SUP_RELOAD, .generation = (g), .conf = CONF(n)         \
	}
#define READY(i)                                                               \
	{                                                                      \
		.kind = SUP_READY, .slot = (i)                                 \
	}
#define EXITED(i, how)                                                         \
	{                                                                      \
		.kind = SUP_EXITED, .slot = (i), .fate = FATE_##how            \
	}
#define NOFORK(i)                                                              \
	{                                                                      \
		.kind = SUP_SPAWN_FAILED, .slot = (i)                          \
	}
#define RECYCLE(i)                                                             \
	{                                                                      \
		.kind = SUP_RECYCLE, .slot = (i)                               \
	}
#define SCALE(n)                                                               \
	{                                                                      \
		.kind = SUP_SCALE, .conf = CONF(n)                             \
	}
#define ASKS(i, e)                                                             \
	{                                                                      \
		.kind = SUP_##e, .slot = (i)                                   \
	}
#define EVENT(e)                                                               \
	{                                                                      \
		.kind = SUP_##e                                                \
	}

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

#define SERVING_2                                                              \
	{ 0, START(2), "S0g1 S1g1" }, { 1, READY(0), "" },                     \
	{                                                                      \
		1, READY(1), "C1"                                              \
	}

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
	T(a_start_spawns_all_workers_and_commits_when_they_are_ready),
	T(a_first_worker_that_cannot_boot_ends_the_program_with_3),
	T(an_application_that_cannot_load_ends_the_first_start_with_4),
	T(a_crash_while_booting_ends_the_first_start),
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
