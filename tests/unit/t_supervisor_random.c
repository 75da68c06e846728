/*
 * Supervision under random events: whatever happens in whatever order, what
 * prefork promises holds.  A model of the processes carries the plans out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "master/supervisor.h"

#define STEPS    200000
#define SLOTS    64
#define WANT_MAX 6
/* What the supervisor says it needs at most: 3 * want + 16. */
#define PROCESSES_MAX (3 * (2 * WANT_MAX) + 16)

enum process { NONE, BOOTING, SERVING, LEAVING, KILLED };

struct model {
	struct sup *sup;
	enum process process[SLOTS];
	unsigned of[SLOTS]; /* generation */
	bool stalled[SLOTS];
	unsigned generation, serving, trial;
	bool paused, stopping, ever_ready, exited;
	int status;
	msec_t now, wake_at;
	uint64_t random;
	unsigned fork_failed[SLOTS], n_fork_failed;
	unsigned commits, rollbacks;
};

/* splitmix64 */
static uint64_t
next_random(struct model *m)
{
	uint64_t z = m->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static unsigned
below(struct model *m, unsigned n)
{
	return (unsigned)(next_random(m) % n);
}

static unsigned
count(const struct model *m, enum process p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SLOTS; i++)
		n += m->process[i] == p;
	return n;
}

static unsigned
alive(const struct model *m)
{
	return SLOTS - count(m, NONE);
}

/* ---- carrying out -------------------------------------------------------- */

static void
on_spawn(struct model *m, const struct sup_action *a)
{
	assert_int_equal(m->process[a->slot], NONE);
	assert_false(m->stopping);
	assert_true(a->generation == m->serving || a->generation == m->trial);
	m->process[a->slot] = BOOTING;
	m->stalled[a->slot] = false;
	m->of[a->slot] = a->generation;
	assert_true(alive(m) <= PROCESSES_MAX);
	if (below(m, 40) == 0)
		m->fork_failed[m->n_fork_failed++] = a->slot;
}

static void
on_commit(struct model *m, const struct sup_action *a)
{
	if (a->generation != m->serving) {
		assert_int_equal(a->generation, m->trial);
		m->trial = 0;
		m->paused = false; /* as only a reload does */
	}
	m->serving = a->generation;
	m->commits++;
}

static void
on_rollback(struct model *m, const struct sup_action *a)
{
	assert_true(a->generation != 0);
	if (a->generation == m->trial)
		m->trial = 0;
	else
		assert_true(a->generation < m->generation || m->stopping);
	m->rollbacks++;
}

static void
carry_out(struct model *m, const struct sup_action *a)
{
	enum process *p = &m->process[a->slot];

	assert_true(a->slot < SLOTS);
	switch (a->kind) {
	case ACT_SPAWN: on_spawn(m, a); break;
	case ACT_RETIRE:
		assert_int_equal(*p, SERVING);
		assert_false(m->stalled[a->slot]); /* it would not hear it */
		*p = LEAVING;
		break;
	case ACT_QUIT:
		assert_true(*p == SERVING || *p == LEAVING);
		*p = LEAVING;
		break;
	case ACT_KILL:
		if (a->why == WHY_STALLED)
			assert_true(*p == SERVING && m->stalled[a->slot]);
		else
			assert_true(*p == BOOTING || *p == LEAVING);
		assert_int_not_equal(a->why, WHY_NOTHING);
		*p = KILLED;
		break;
	case ACT_COMMIT: on_commit(m, a); break;
	case ACT_ROLLBACK: on_rollback(m, a); break;
	case ACT_REOPEN: break;
	case ACT_EXIT:
		assert_int_equal(alive(m), 0);
		m->exited = true;
		m->status = a->status;
		break;
	}
}

/* ---- what must hold -------------------------------------------------------
 */

/* After a commit, a worker of any other generation is on its way out. */
static void
check_generations(const struct model *m, bool committed)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		if (committed && m->process[i] == SERVING)
			assert_int_equal(m->of[i], m->serving);
		if (m->process[i] == BOOTING)
			assert_true(
			    m->of[i] == m->serving || m->of[i] == m->trial);
	}
}

static void
check_holds(const struct model *m, const struct sup_event *ev,
    struct sup_plan p, const msec_t *held)
{
	bool may_release = ev->kind == SUP_FEWER || ev->kind == SUP_SCALE ||
	    ev->kind == SUP_PAUSE || ev->kind == SUP_RELOAD ||
	    ev->kind == SUP_READY;

	(void)m;
	for (size_t i = 0; i < p.n; i++)
		if (p.act[i].kind == ACT_SPAWN && !may_release)
			assert_int_equal(held[p.act[i].slot], 0);
}

static void
feed(struct model *m, const struct sup_event *ev)
{
	unsigned ready = count(m, SERVING), commits = m->commits;
	msec_t held[SLOTS];
	struct sup_plan p;

	for (unsigned i = 0; i < SLOTS; i++)
		held[i] = sup_wait(m->sup, i, m->now);
	p = sup_step(m->sup, ev, m->now);
	check_holds(m, ev, p, held);
	for (size_t i = 0; i < p.n; i++)
		carry_out(m, &p.act[i]);
	check_generations(m, m->commits != commits);
	m->wake_at = p.wake_at;
	assert_true(p.wake_at == 0 || p.wake_at >= m->now);
	if (count(m, BOOTING) > 0)
		assert_int_not_equal(p.wake_at, 0);
	m->stopping = sup_count(m->sup).stopping != 0;
	if (ready > 0 && !m->paused && !m->stopping)
		assert_true(count(m, SERVING) > 0);
	assert_int_equal(m->exited, m->stopping && alive(m) == 0);
	assert_int_equal(sup_count(m->sup).alive, alive(m));
	assert_int_equal(sup_count(m->sup).ready, count(m, SERVING));
	assert_int_equal(sup_count(m->sup).on_trial, m->trial != 0);
	assert_int_equal(sup_count(m->sup).paused, m->paused);
}

/* ---- what may happen --------------------------------------------------------
 */

static void
feed_forks(struct model *m)
{
	struct sup_event ev = { .kind = SUP_SPAWN_FAILED };

	while (m->n_fork_failed > 0 && !m->exited) {
		ev.slot = m->fork_failed[--m->n_fork_failed];
		/* A process that is killed first was never there either. */
		m->process[ev.slot] = NONE;
		feed(m, &ev);
	}
}

static void
ready(struct model *m, unsigned slot)
{
	if (m->process[slot] == BOOTING)
		m->process[slot] = SERVING;
	m->ever_ready = true;
	feed(m, &(struct sup_event){ .kind = SUP_READY, .slot = slot });
}

static void
exits(struct model *m, unsigned slot)
{
	m->process[slot] = NONE;
	feed(m,
	    &(struct sup_event){ .kind = SUP_EXITED,
		.slot = slot,
		.fate = (enum sup_fate)below(m, 4) });
}

static void
reload(struct model *m)
{
	m->trial = ++m->generation;
	feed(m,
	    &(struct sup_event){ .kind = SUP_RELOAD,
		.generation = m->generation,
		.conf = { .want = 1 + below(m, WANT_MAX),
		    .boot_timeout = 1000,
		    .grace = 100 * (msec_t)below(m, 50),
		    .delay = 100 * (msec_t)below(m, 3) } });
}

/* The master watches workers that serve. */
static void
stalls_or_moves(struct model *m, unsigned slot)
{
	m->stalled[slot] = !m->stalled[slot];
	feed(m,
	    &(struct sup_event){ .kind = m->stalled[slot] ? SUP_STALLED :
							    SUP_REVIVED,
		.slot = slot });
}

static void
something_happens_to(struct model *m, unsigned slot)
{
	switch (m->process[slot]) {
	case NONE: break;
	case BOOTING:
		/* At a first start a failure ends the program: seldom. */
		if (below(m, 100) < (m->ever_ready ? 80 : 98))
			ready(m, slot);
		else
			exits(m, slot);
		break;
	case SERVING:
		if (below(m, 8) == 0)
			exits(m, slot);
		else if (below(m, 8) == 0)
			feed(m,
			    &(struct sup_event){ .kind = SUP_RECYCLE +
				    below(m, 3), /* or the two after it */
				.slot = slot });
		else if (below(m, 8) == 0)
			stalls_or_moves(m, slot);
		break;
	case LEAVING:
		if (below(m, 3) == 0)
			exits(m, slot);
		break;
	case KILLED: exits(m, slot); break;
	}
}

static void
operator_acts(struct model *m)
{
	unsigned dice = below(m, 1000);

	if (dice < 300)
		reload(m);
	else if (dice < 500 && sup_count(m->sup).want < 2 * WANT_MAX - 1)
		feed(m, &(struct sup_event){ .kind = SUP_MORE });
	else if (dice < 750)
		feed(m, &(struct sup_event){ .kind = SUP_FEWER });
	else if (dice < 800)
		feed(m,
		    &(struct sup_event){ .kind = SUP_SCALE,
			.conf.want = 1 + below(m, 2 * WANT_MAX - 1) });
	else if (dice < 900)
		feed(m, &(struct sup_event){ .kind = SUP_REOPEN });
	else if (dice < 980) {
		m->paused = true;
		feed(m, &(struct sup_event){ .kind = SUP_PAUSE });
	} else if (dice < 990)
		feed(m, &(struct sup_event){ .kind = SUP_DRAIN });
	else
		feed(m, &(struct sup_event){ .kind = SUP_ABORT });
}

static void
time_passes(struct model *m)
{
	m->now += below(m, 20) == 0 ? below(m, 40000) : below(m, 30);
	if (m->wake_at != 0 && m->now >= m->wake_at)
		feed(m, &(struct sup_event){ .kind = SUP_TICK });
}

static void
begin(struct model *m)
{
	uint64_t random = m->random;

	*m = (struct model){ .random = random, .now = 1 };
	m->sup = sup_new(SLOTS);
	assert_non_null(m->sup);
	m->generation = m->serving = 1;
	feed(m,
	    &(struct sup_event){ .kind = SUP_START,
		.generation = 1,
		.conf = { .want = 1 + below(m, WANT_MAX),
		    .boot_timeout = 1000,
		    .grace = 1000 } });
	feed_forks(m);
}

static unsigned
some_process(struct model *m)
{
	unsigned from = below(m, SLOTS);

	for (unsigned i = 0; i < SLOTS; i++)
		if (m->process[(from + i) % SLOTS] != NONE)
			return (from + i) % SLOTS;
	return from;
}

static void
step(struct model *m)
{
	if (below(m, 12) == 0)
		operator_acts(m);
	else if (below(m, 3) == 0)
		time_passes(m);
	else
		something_happens_to(m, some_process(m));
	feed_forks(m);
}

static void
invariants_hold_whatever_happens(void **state)
{
	struct model m = { .random = 20260101 };
	unsigned commits = 0, rollbacks = 0, lives = 0;

	(void)state;
	for (unsigned n = 0; n < STEPS; n++) {
		if (m.sup == NULL)
			begin(&m);
		if (!m.exited)
			step(&m);
		if (!m.exited)
			continue;
		commits += m.commits;
		rollbacks += m.rollbacks;
		lives++;
		sup_free(&m.sup);
	}
	sup_free(&m.sup);
	/* The dice did reach what the checks are about. */
	assert_true(lives > 20 && commits > 500 && rollbacks > 500);
}

/* Every worker boots, every one told to go goes, and time passes. */
static void
calm_down(struct model *m)
{
	for (unsigned round = 0; round < 400 && !m->exited; round++) {
		for (unsigned i = 0; i < SLOTS && !m->exited; i++) {
			m->n_fork_failed = 0;
			if (m->process[i] == BOOTING)
				ready(m, i);
			else if (m->process[i] == LEAVING ||
			    m->process[i] == KILLED)
				exits(m, i);
		}
		m->n_fork_failed = 0;
		if (m->exited || m->wake_at == 0)
			continue;
		m->now = m->wake_at;
		feed(m, &(struct sup_event){ .kind = SUP_TICK });
	}
}

static void
when_failures_end_the_wanted_workers_serve(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct model m = { .random = seed };

		begin(&m);
		for (unsigned n = 0; n < 300 && !m.exited; n++)
			step(&m);
		calm_down(&m);
		if (!m.stopping && !m.paused) {
			assert_int_equal(count(&m, SERVING),
			    sup_count(m.sup).want);
			assert_int_equal(alive(&m), count(&m, SERVING));
			assert_int_equal(m.trial, 0);
		}
		if (m.stopping)
			assert_true(m.exited);
		sup_free(&m.sup);
	}
}

static void
a_drain_always_ends_with_exit_0(void **state)
{
	(void)state;
	for (uint64_t seed = 1000; seed < 1300; seed++) {
		struct model m = { .random = seed };

		begin(&m);
		for (unsigned n = 0; n < 200 && !m.exited; n++)
			step(&m);
		if (m.stopping) {
			sup_free(&m.sup);
			continue;
		}
		feed(&m, &(struct sup_event){ .kind = SUP_DRAIN });
		calm_down(&m);
		assert_true(m.exited);
		assert_int_equal(m.status, 0);
		sup_free(&m.sup);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(invariants_hold_whatever_happens),
		cmocka_unit_test(when_failures_end_the_wanted_workers_serve),
		cmocka_unit_test(a_drain_always_ends_with_exit_0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
