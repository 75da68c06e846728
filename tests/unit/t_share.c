#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/net/share.h"

#define WORKERS_MAX 8
#define BURST       16 /* as worker/net/accept.c */

/* Workers that share a listener, each with its own idea of when to look. */
struct model {
	unsigned n, conns[WORKERS_MAX];
	unsigned paused_at[WORKERS_MAX]; /* 0: it does not pause */
	bool insists[WORKERS_MAX];
	unsigned now;
	unsigned waiting; /* connections in the kernel */
};

static unsigned
least_of_others(const struct model *m, unsigned self)
{
	unsigned least = UINT_MAX;

	for (unsigned i = 0; i < m->n; i++)
		if (i != self && m->conns[i] < least)
			least = m->conns[i];
	return least;
}

/* One callback of a worker: as on_acceptable() of worker/net/accept.c. */
static void
accept_some(struct model *m, unsigned self)
{
	unsigned least = least_of_others(m, self);

	for (unsigned k = 0; k < BURST && m->waiting > 0; k++) {
		if (share_yields(m->conns[self], least)) {
			if (!m->insists[self]) {
				m->paused_at[self] = ++m->now;
				return;
			}
			m->insists[self] = false;
		}
		m->waiting--;
		m->conns[self]++;
	}
	m->insists[self] = false;
}

/* All pauses are equally long: the one that began first ends first. */
static void
pause_ends(struct model *m)
{
	unsigned first = 0;

	for (unsigned i = 1; i < m->n; i++)
		if (m->paused_at[i] < m->paused_at[first])
			first = i;
	m->paused_at[first] = 0;
	m->insists[first] = true;
}

static void
shuffle(unsigned *order, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		order[i] = i;
	for (unsigned i = n; i > 1; i--) {
		unsigned j = (unsigned)random() % i, was = order[i - 1];

		order[i - 1] = order[j];
		order[j] = was;
	}
}

/* Whoever does not pause takes what it may; a pause is long enough for it. */
static void
all_wake_up(struct model *m)
{
	unsigned order[WORKERS_MAX], before;

	while (m->waiting > 0) {
		shuffle(order, m->n);
		before = m->waiting;
		for (unsigned i = 0; i < m->n; i++)
			if (m->paused_at[order[i]] == 0)
				accept_some(m, order[i]);
		if (m->waiting == before)
			pause_ends(m);
	}
}

static void
assert_spread(const struct model *m)
{
	unsigned low = UINT_MAX, high = 0;

	for (unsigned i = 0; i < m->n; i++) {
		low = m->conns[i] < low ? m->conns[i] : low;
		high = m->conns[i] > high ? m->conns[i] : high;
	}
	assert_true(2 * high <= 3 * low);
}

static void
sixty_four_connections_spread_evenly(void **state)
{
	(void)state;
	srandom(1);
	for (unsigned round = 0; round < 1000; round++)
		for (unsigned n = 2; n <= WORKERS_MAX; n++) {
			struct model m = { .n = n };
			unsigned left = 64;

			while (left > 0) {
				m.waiting = 1 + (unsigned)random() % left;
				left -= m.waiting;
				all_wake_up(&m);
				for (unsigned i = 0; i < n; i++)
					m.paused_at[i] = m.insists[i] = 0;
			}
			assert_spread(&m);
		}
}

static void
connections_that_all_come_at_once_spread_too(void **state)
{
	(void)state;
	srandom(2);
	for (unsigned round = 0; round < 1000; round++)
		for (unsigned n = 2; n <= WORKERS_MAX; n++) {
			struct model m = { .n = n, .waiting = 64 };

			all_wake_up(&m);
			assert_spread(&m);
		}
}

static void
the_least_loaded_worker_never_yields(void **state)
{
	(void)state;
	for (unsigned least = 0; least < 5000; least++) {
		assert_false(share_yields(least, least));
		if (least > 0)
			assert_false(share_yields(least - 1, least));
	}
}

static void
who_has_more_yields_no_less(void **state)
{
	(void)state;
	for (unsigned least = 0; least < 300; least++)
		for (unsigned mine = 0; mine < 600; mine++)
			if (share_yields(mine, least))
				assert_true(share_yields(mine + 1, least));
}

static void
the_edges_are_where_they_are_meant(void **state)
{
	static const struct {
		unsigned mine, least;
		bool yields;
	} table[] = {
		{ 0, 0, false },
		{ 1, 0, false },
		{ 2, 0, true },
		{ 8, 7, false },
		{ 9, 7, true },
		{ 10, 8, false },
		{ 11, 8, true },
		{ 13, 11, false },
		{ 14, 11, true },
		{ 15, 12, false },
		{ 16, 12, true },
		{ 80, 64, false },
		{ 81, 64, true },
		{ 0, UINT_MAX, false }, /* alone */
		{ 1000000, UINT_MAX, false },
		{ UINT_MAX, 0, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		assert_int_equal(share_yields(table[i].mine, table[i].least),
		    table[i].yields);
}

/* ---- siblings that let their chances pass ---------------------------------
 */

#define TURNED_MS 1000000u /* their last sign of life */

/* A chance of 2 ms in vain that begins at now_ms; when it is over. */
static uint64_t
in_vain(struct share *s, uint64_t now_ms)
{
	share_chance_over(s, now_ms + 2);
	share_insist(s, now_ms + 2);
	return now_ms + 2;
}

/* A worker that had enough of a sibling that turned last at TURNED_MS. */
static uint64_t
lose_patience(struct share *s)
{
	uint64_t now = TURNED_MS + 1000;

	while (!share_is_deaf(s, TURNED_MS, now))
		now = in_vain(s, now);
	return now;
}

static void
nobody_is_deaf_who_was_not_asked(void **state)
{
	struct share s = { 0 };

	(void)state;
	assert_false(share_is_deaf(&s, 0, 0));
	assert_false(share_is_deaf(&s, 0, TURNED_MS));
	share_chance_over(&s, TURNED_MS);
	assert_false(share_is_deaf(&s, 0, TURNED_MS));
}

static void
a_sibling_may_be_late_as_long_as_a_busy_machine_makes_it(void **state)
{
	struct share s = { 0 };

	(void)state;
	assert_int_equal(lose_patience(&s), TURNED_MS + 1000 + 50);
}

static void
a_sibling_that_turns_is_deaf_no_longer(void **state)
{
	struct share s = { 0 };
	uint64_t now = lose_patience(&s);

	(void)state;
	assert_false(share_is_deaf(&s, now, now));
	assert_false(share_is_deaf(&s, now - 50, now));
	assert_true(share_is_deaf(&s, now - 51, now));
}

static void
of_several_only_those_who_stand_still_are_deaf(void **state)
{
	struct share s = { 0 };
	uint64_t now = TURNED_MS;

	(void)state;
	for (int i = 0; i < 50; i++)
		now = in_vain(&s, now);
	assert_true(share_is_deaf(&s, 0, now));
	assert_true(share_is_deaf(&s, TURNED_MS, now));
	assert_false(share_is_deaf(&s, now - 2, now));
}

static void
chances_that_are_taken_are_not_in_vain(void **state)
{
	struct share s = { 0 };
	uint64_t now = TURNED_MS;

	(void)state;
	for (int i = 0; i < 100; i++) {
		for (int k = 0; k < 24; k++)
			now = in_vain(&s, now);
		share_chance_over(&s, now += 2);
		share_insist(&s, now += 50); /* on the next, long after */
		assert_false(share_is_deaf(&s, 0, now));
	}
}

static void
what_was_in_vain_is_forgotten(void **state)
{
	struct share s = { 0 };
	uint64_t now = lose_patience(&s);

	(void)state;
	now = in_vain(&s, now + 997);
	assert_true(share_is_deaf(&s, TURNED_MS, now));
	now = in_vain(&s, now + 998);
	assert_false(share_is_deaf(&s, TURNED_MS, now));
}

static void
the_deaf_cost_a_fiftieth_of_the_time(void **state)
{
	struct share s = { 0 };
	uint64_t begin = lose_patience(&s), now = begin, yielded = 0;

	(void)state;
	while (now < begin + 10000) {
		if (share_is_deaf(&s, TURNED_MS, now)) {
			now++;
			continue;
		}
		yielded += 2;
		now = in_vain(&s, now);
	}
	assert_in_range(yielded, 180, 200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sixty_four_connections_spread_evenly),
		cmocka_unit_test(connections_that_all_come_at_once_spread_too),
		cmocka_unit_test(the_least_loaded_worker_never_yields),
		cmocka_unit_test(who_has_more_yields_no_less),
		cmocka_unit_test(the_edges_are_where_they_are_meant),
		cmocka_unit_test(nobody_is_deaf_who_was_not_asked),
		cmocka_unit_test(
		    a_sibling_may_be_late_as_long_as_a_busy_machine_makes_it),
		cmocka_unit_test(a_sibling_that_turns_is_deaf_no_longer),
		cmocka_unit_test(
		    of_several_only_those_who_stand_still_are_deaf),
		cmocka_unit_test(chances_that_are_taken_are_not_in_vain),
		cmocka_unit_test(what_was_in_vain_is_forgotten),
		cmocka_unit_test(the_deaf_cost_a_fiftieth_of_the_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
