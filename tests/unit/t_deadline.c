/* Nothing here sleeps: entries begin in the past, and the loop turns with
 * EVRUN_NOWAIT. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "worker/net/deadline.h"

#define AFTER_NS (60 * NS_PER_S) /* longer than any test */
#define N        8

struct fixture {
	struct ev_loop *loop;
	struct deadlines all;
	struct deadline_list list, other;
	struct deadline entry[N];
	int order[4 * N]; /* entries that expired */
	unsigned n;
};

static void
expired(struct deadline *e, void *arg)
{
	struct fixture *f = arg;

	assert_null(e->list);
	f->order[f->n++] = (int)(e - f->entry);
}

static void
fixture_open(struct fixture *f, uint64_t after_ns)
{
	*f = (struct fixture){ 0 };
	f->loop = ev_loop_new(EVFLAG_NOENV);
	assert_non_null(f->loop);
	deadlines_init(&f->all, f->loop);
	deadline_list_init(&f->all, &f->list, after_ns, expired, f);
	deadline_list_init(&f->all, &f->other, after_ns, expired, f);
}

static void
fixture_close(struct fixture *f)
{
	deadlines_stop(&f->all);
	ev_loop_destroy(f->loop);
}

/* Now is `ms` after the time of list. */
static uint64_t
late_by(const struct fixture *f, uint64_t ms)
{
	return clock_now_ns() - f->list.after_ns - ms * NS_PER_MS;
}

static void
turn(struct fixture *f)
{
	/* the first turn may find the timer not due yet by its own clock */
	for (int i = 0; i < 3; i++)
		ev_run(f->loop, EVRUN_NOWAIT);
}

static void
expect_order(const struct fixture *f, const int *want, unsigned n)
{
	assert_int_equal(f->n, n);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(f->order[i], want[i]);
}

#define EXPECT(f, ...)                                                         \
	do {                                                                   \
		static const int want[] = { __VA_ARGS__ };                     \
		expect_order(f, want, sizeof want / sizeof want[0]);           \
	} while (0)

static void
what_is_late_expires_in_order(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, AFTER_NS);
	for (int i = 0; i < 5; i++)
		deadline_set(&f.entry[i], &f.list,
		    late_by(&f, 50 - 10 * (uint64_t)i));
	deadline_set(&f.entry[5], &f.list, clock_now_ns());
	turn(&f);
	EXPECT(&f, 0, 1, 2, 3, 4);
	turn(&f);
	assert_int_equal(f.n, 5);
	assert_ptr_equal(f.list.first, &f.entry[5]);
	assert_ptr_equal(f.list.last, &f.entry[5]);
	fixture_close(&f);
}

static void
what_is_cleared_does_not_expire(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, AFTER_NS);
	for (int i = 0; i < 5; i++)
		deadline_set(&f.entry[i], &f.list, late_by(&f, 1));
	deadline_clear(&f.entry[0]);
	deadline_clear(&f.entry[2]);
	deadline_clear(&f.entry[4]);
	deadline_clear(&f.entry[4]);
	turn(&f);
	EXPECT(&f, 1, 3);
	assert_null(f.list.first);
	assert_null(f.list.last);
	fixture_close(&f);
}

static void
an_entry_that_is_set_again_has_its_time_again(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, AFTER_NS);
	deadline_set(&f.entry[0], &f.list, late_by(&f, 2));
	deadline_set(&f.entry[1], &f.list, late_by(&f, 1));
	deadline_set(&f.entry[0], &f.list, clock_now_ns());
	turn(&f);
	EXPECT(&f, 1);
	assert_ptr_equal(f.list.first, &f.entry[0]);
	fixture_close(&f);
}

static void
an_entry_is_in_one_list_at_a_time(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, AFTER_NS);
	deadline_set(&f.entry[0], &f.list, clock_now_ns());
	deadline_set(&f.entry[0], &f.other, late_by(&f, 1));
	assert_null(f.list.first);
	assert_ptr_equal(f.entry[0].list, &f.other);
	turn(&f);
	EXPECT(&f, 0);
	deadline_set(&f.entry[0], &f.other, late_by(&f, 1));
	deadline_set(&f.entry[0], &f.list, clock_now_ns());
	turn(&f);
	assert_int_equal(f.n, 1);
	fixture_close(&f);
}

/* The timer is armed for the first entry, whichever list it is in. */
static void
a_list_that_is_sooner_late_is_served_sooner(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, AFTER_NS);
	deadline_set(&f.entry[0], &f.list, clock_now_ns());
	turn(&f);
	assert_int_equal(f.n, 0);
	deadline_set(&f.entry[1], &f.other, late_by(&f, 1));
	turn(&f);
	EXPECT(&f, 1);
	fixture_close(&f);
}

/* The first entry's time comes and it is gone: the next one's must too. */
static void
the_timer_is_armed_again_for_what_is_left(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, NS_PER_MS);
	deadline_set(&f.entry[0], &f.list, clock_now_ns());
	deadline_set(&f.entry[1], &f.list, clock_now_ns());
	deadline_clear(&f.entry[0]);
	while (f.n == 0)
		ev_run(f.loop, EVRUN_ONCE);
	EXPECT(&f, 1);
	deadline_set(&f.entry[2], &f.other, clock_now_ns());
	while (f.n == 1)
		ev_run(f.loop, EVRUN_ONCE);
	EXPECT(&f, 1, 2);
	fixture_close(&f);
}

static void
nothing_expires_before_its_time(void **state)
{
	struct fixture f;
	uint64_t began;

	(void)state;
	fixture_open(&f, 3 * NS_PER_MS);
	for (int i = 0; i < 5; i++) {
		began = clock_now_ns();
		deadline_set(&f.entry[0], &f.list, began);
		f.n = 0;
		while (f.n == 0)
			ev_run(f.loop, EVRUN_ONCE);
		assert_true(clock_now_ns() - began >= 3 * NS_PER_MS);
	}
	fixture_close(&f);
}

static void
a_list_without_a_time_waits_for_ever(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, 0);
	deadline_set(&f.entry[0], &f.list, 1);
	assert_false(ev_is_active(&f.all.timer));
	deadline_list_set_after(&f.other, AFTER_NS);
	deadline_set(&f.entry[1], &f.other,
	    clock_now_ns() - AFTER_NS - NS_PER_MS);
	turn(&f);
	EXPECT(&f, 1);
	assert_ptr_equal(f.list.first, &f.entry[0]);
	fixture_close(&f);
}

static void
less_patience_is_for_those_that_wait_already(void **state)
{
	struct fixture f;
	uint64_t since;

	(void)state;
	fixture_open(&f, AFTER_NS);
	since = clock_now_ns() - AFTER_NS / 2;
	deadline_set(&f.entry[0], &f.list, since);
	deadline_set(&f.entry[1], &f.other, since);
	turn(&f);
	assert_int_equal(f.n, 0);
	deadline_list_set_after(&f.list, AFTER_NS / 4);
	turn(&f);
	EXPECT(&f, 0);
	deadline_list_set_after(&f.list, 2 * AFTER_NS);
	deadline_set(&f.entry[0], &f.list, since);
	turn(&f);
	assert_int_equal(f.n, 1);
	fixture_close(&f);
}

/* Sets and clears others while the list is walked. */
struct meddler {
	struct fixture f;
	unsigned calls;
};

static void
meddle(struct deadline *e, void *arg)
{
	struct meddler *m = arg;
	struct fixture *f = &m->f;

	m->calls++;
	if (e == &f->entry[0]) {
		deadline_clear(&f->entry[1]);
		deadline_set(e, &f->list, clock_now_ns());
		deadline_set(&f->entry[3], &f->other, late_by(f, 1));
	}
}

static void
a_callback_may_set_and_clear_others(void **state)
{
	struct meddler m = { 0 };
	struct fixture *f = &m.f;

	(void)state;
	fixture_open(f, AFTER_NS);
	f->list.expired = meddle;
	f->list.arg = &m;
	for (int i = 0; i < 3; i++)
		deadline_set(&f->entry[i], &f->list, late_by(f, 1));
	turn(f);
	turn(f);
	assert_int_equal(m.calls, 2); /* 0 and 2 */
	EXPECT(f, 3);
	assert_ptr_equal(f->list.first, &f->entry[0]);
	assert_null(f->list.first->next);
	fixture_close(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_late_expires_in_order),
		cmocka_unit_test(what_is_cleared_does_not_expire),
		cmocka_unit_test(an_entry_that_is_set_again_has_its_time_again),
		cmocka_unit_test(an_entry_is_in_one_list_at_a_time),
		cmocka_unit_test(a_list_that_is_sooner_late_is_served_sooner),
		cmocka_unit_test(the_timer_is_armed_again_for_what_is_left),
		cmocka_unit_test(nothing_expires_before_its_time),
		cmocka_unit_test(a_list_without_a_time_waits_for_ever),
		cmocka_unit_test(less_patience_is_for_those_that_wait_already),
		cmocka_unit_test(a_callback_may_set_and_clear_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
