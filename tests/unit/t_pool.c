/*
 * The controller of worker/pool.h against a model of a worker: clients that
 * wait for their answer and ask again, handlers that sleep or compute on two
 * CPUs, a monitor that measures eight threads a step as worker/monitor.c does,
 * and threads that measure short handlers themselves as worker/baton.c does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/pool.h"

#define TICK_NS     100000ull /* of model time */
#define TICKS_STEP  (POOL_STEP_NS / TICK_NS)
#define CPUS        2
#define SAMPLES     8
#define SHORT_NS    10000000ull
#define THREADS_MAX 64
#define MS          10 /* in ticks */

struct thread {
	bool busy;
	bool computes;
	unsigned left;    /* ticks of its handler */
	unsigned handler; /* counts handlers */
	uint64_t busy_ns; /* on a CPU or waiting for one */
	uint64_t began, began_busy_ns;
	bool entered;    /* it had the lock once */
	unsigned waited; /* ticks for that */
	unsigned seen;   /* handler at the last sample */
	uint64_t seen_at, seen_busy;
};

/* What a handler does. */
struct load {
	unsigned wait_ticks, compute_ticks;
	unsigned compute_percent; /* of the handlers; the others wait */
	bool lock; /* of an interpreter: one computes at a time, and to enter */
};

struct model {
	struct pool pool;
	struct load load;
	struct thread thread[THREADS_MAX];
	unsigned queued, clients;
	uint64_t tick;
	unsigned next_sample, served;
	uint64_t short_wall_ns, short_busy_ns, lock_ns;
	unsigned n_locks, holder, held;
	unsigned stands_still; /* ticks in which the lock's holder has no CPU */
	uint64_t still_ns;     /* which the kernel tells when it is over */
	unsigned low, high;    /* of the limit so far */
	uint32_t random;
};

static void
model_init(struct model *m, unsigned min, unsigned max, unsigned clients)
{
	*m = (struct model){ .clients = clients, .queued = clients };
	m->random = 12345;
	pool_init(&m->pool, min, max);
	m->low = m->high = m->pool.limit;
}

static unsigned
random_below(struct model *m, unsigned n)
{
	m->random = m->random * 1664525u + 1013904223u;
	return (m->random >> 8) % n;
}

static unsigned
running(const struct model *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < THREADS_MAX; i++)
		n += m->thread[i].busy;
	return n;
}

static void
handlers_begin(struct model *m)
{
	unsigned n = running(m);

	for (unsigned i = 0; i < THREADS_MAX; i++) {
		struct thread *t = &m->thread[i];

		if (m->queued == 0 || n >= m->pool.limit)
			return;
		if (t->busy)
			continue;
		t->busy = true;
		t->entered = false;
		t->waited = 0;
		t->handler++;
		t->began = m->tick;
		t->began_busy_ns = t->busy_ns;
		t->computes = random_below(m, 100) < m->load.compute_percent;
		t->left =
		    t->computes ? m->load.compute_ticks : m->load.wait_ticks;
		m->queued--;
		n++;
	}
}

static void
handler_ends(struct model *m, struct thread *t)
{
	uint64_t wall = (m->tick + 1 - t->began) * TICK_NS;

	if (wall < SHORT_NS) {
		m->short_wall_ns += wall;
		m->short_busy_ns += t->busy_ns - t->began_busy_ns;
	}
	t->busy = false;
	m->served++;
	m->queued++; /* its client asks again */
}

/* Those that compute share the CPUs in turn. */
static void
handlers_work(struct model *m)
{
	unsigned cpus = CPUS;

	for (unsigned k = 0; k < THREADS_MAX; k++) {
		struct thread *t =
		    &m->thread[(m->tick * CPUS + k) % THREADS_MAX];

		if (!t->busy)
			continue;
		if (t->computes) {
			t->busy_ns += TICK_NS;
			if (cpus == 0)
				continue;
			cpus--;
		}
		if (--t->left == 0)
			handler_ends(m, t);
	}
}

static bool
wants_lock(const struct thread *t)
{
	return t->busy && (!t->entered || t->computes);
}

/* Its holder keeps it until it ends or waits, or another wanted it for 5 ms. */
static void
lock_passes(struct model *m)
{
	if (wants_lock(&m->thread[m->holder]) && m->held++ < 5 * MS)
		return;
	m->held = 0;
	for (unsigned k = 1; k <= THREADS_MAX; k++) {
		unsigned next = (m->holder + k) % THREADS_MAX;

		if (!wants_lock(&m->thread[next]))
			continue;
		m->holder = next;
		return;
	}
}

static void
handler_enters(struct model *m, struct thread *t)
{
	t->entered = true;
	m->lock_ns += t->waited * TICK_NS;
	m->n_locks++;
}

/* The holder of the lock waits for a CPU. */
static bool
holder_stands_still(struct model *m)
{
	struct thread *t = &m->thread[m->holder];

	if (m->stands_still > 0) {
		m->stands_still--;
		m->still_ns += TICK_NS;
		return true;
	}
	t->busy_ns += m->still_ns;
	m->still_ns = 0;
	return false;
}

static void
handlers_work_locked(struct model *m)
{
	bool still = holder_stands_still(m);

	if (!still)
		lock_passes(m);
	for (unsigned i = 0; i < THREADS_MAX; i++) {
		struct thread *t = &m->thread[i];

		if (!t->busy)
			continue;
		if (wants_lock(t)) {
			t->waited++;
			if (still || i != m->holder)
				continue;
			t->busy_ns += TICK_NS;
			if (!t->entered)
				handler_enters(m, t);
		}
		if (--t->left == 0)
			handler_ends(m, t);
	}
}

static void
sample(struct model *m, struct thread *t, struct pool_sample *s)
{
	uint64_t now = m->tick * TICK_NS;

	if (!t->entered && t->waited * TICK_NS > s->at_lock_ns)
		s->at_lock_ns = t->waited * TICK_NS;
	if (t->seen == t->handler) {
		s->wall_ns += now - t->seen_at;
		s->busy_ns += t->busy_ns - t->seen_busy;
	}
	t->seen = t->handler;
	t->seen_at = now;
	t->seen_busy = t->busy_ns;
}

static void
step(struct model *m)
{
	struct pool_sample s = { .queued = m->queued > 0,
		.running = running(m) };
	unsigned limit, taken = 0;

	if (s.running == 0 || (!s.queued && s.running < 2))
		return;
	for (unsigned n = 0; n < THREADS_MAX && taken < SAMPLES; n++) {
		struct thread *t = &m->thread[m->next_sample++ % THREADS_MAX];

		if (!t->busy)
			continue;
		sample(m, t, &s);
		taken++;
	}
	s.wall_ns += m->short_wall_ns;
	s.busy_ns += m->short_busy_ns;
	s.lock_ns = m->lock_ns;
	s.n_locks = m->n_locks;
	m->short_wall_ns = m->short_busy_ns = m->lock_ns = 0;
	m->n_locks = 0;
	limit = pool_step(&m->pool, &s);
	assert_int_equal(limit, m->pool.limit);
	assert_in_range(limit, m->pool.min, m->pool.max);
	m->low = limit < m->low ? limit : m->low;
	m->high = limit > m->high ? limit : m->high;
}

static void
model_run(struct model *m, unsigned ticks)
{
	for (unsigned i = 0; i < ticks; i++) {
		if (m->load.lock)
			handlers_work_locked(m);
		else
			handlers_work(m);
		handlers_begin(m);
		if (++m->tick % TICKS_STEP == 0)
			step(m);
	}
}

static void
handlers_that_wait_are_given_threads(void **state)
{
	struct model m;

	(void)state;
	model_init(&m, 1, 64, 64);
	m.load = (struct load){ .wait_ticks = 50 * MS };
	model_run(&m, 100 * MS);
	assert_in_range(m.pool.limit, 32, 64);
	model_run(&m, 100 * MS);
	assert_int_equal(m.pool.limit, 64);
	m.served = 0;
	model_run(&m, 1000 * MS);
	/* 64 clients, 50 ms each: 1280 a second are the ideal */
	assert_in_range(m.served, 1280 * 9 / 10, 1280);
}

/* Shorter than the time between two samples of a thread. */
static void
short_waits_are_given_threads_too(void **state)
{
	static const unsigned ticks[] = { 4, 1 * MS, 2 * MS, 3 * MS, 5 * MS,
		9 * MS };
	struct model m;

	(void)state;
	for (size_t i = 0; i < sizeof ticks / sizeof ticks[0]; i++) {
		model_init(&m, 1, 64, 64);
		m.load = (struct load){ .wait_ticks = ticks[i] };
		model_run(&m, 200 * MS);
		assert_int_equal(m.high, 64);
	}
}

static void
short_handlers_that_compute_stay_with_few_threads(void **state)
{
	static const unsigned ticks[] = { 4, 1 * MS, 5 * MS };
	struct model m;

	(void)state;
	for (size_t i = 0; i < sizeof ticks / sizeof ticks[0]; i++) {
		model_init(&m, 1, 64, 64);
		m.load = (struct load){ .compute_ticks = ticks[i],
			.compute_percent = 100 };
		model_run(&m, 1000 * MS);
		assert_int_equal(m.high, 1);
	}
}

static void
handlers_that_compute_stay_with_few_threads(void **state)
{
	struct model m;

	(void)state;
	model_init(&m, 1, 64, 64);
	m.load =
	    (struct load){ .compute_ticks = 30 * MS, .compute_percent = 100 };
	model_run(&m, 3000 * MS);
	assert_int_equal(m.high, 1);
}

static void
handlers_that_wait_need_not_mind_a_lock(void **state)
{
	struct model m;

	(void)state;
	model_init(&m, 1, 64, 64);
	m.load = (struct load){ .wait_ticks = 50 * MS, .lock = true };
	model_run(&m, 300 * MS);
	assert_int_equal(m.pool.limit, 64);
}

/* Three that wait for a database, then a burst of such that compute: the limit
 * is halved, the three fill it, and it was theirs until they ended. */
static void
handlers_that_wait_do_not_keep_out_those_that_compute(void **state)
{
	struct model m;

	(void)state;
	model_init(&m, 1, 64, 3);
	m.load = (struct load){ .wait_ticks = 60000 * MS, .lock = true };
	model_run(&m, 100 * MS);
	assert_int_equal(running(&m), 3);
	m.queued = 10;
	m.load = (struct load){ .wait_ticks = 60000 * MS,
		.compute_ticks = 50 * MS,
		.compute_percent = 100,
		.lock = true };
	model_run(&m, 10000 * MS);
	/* one CPU at 50 ms each: 200 are the ideal */
	assert_in_range(m.served, 100, 200);
	assert_in_range(m.high, 1, 16);
}

/* A thread that waits for the lock is not on a CPU and wants none. */
static void
handlers_that_compute_under_a_lock_stay_with_few_threads(void **state)
{
	static const unsigned ticks[] = { 4, 1 * MS, 3 * MS, 30 * MS,
		300 * MS };
	struct model m;

	(void)state;
	for (size_t i = 0; i < sizeof ticks / sizeof ticks[0]; i++) {
		model_init(&m, 1, 64, 64);
		m.load = (struct load){ .compute_ticks = ticks[i],
			.compute_percent = 100,
			.lock = true };
		model_run(&m, 3000 * MS);
		assert_in_range(m.high, 1, 3);
	}
}

/* Others have the CPUs, or the container has used up its share of them: what a
 * thread waits for one is told only once it has it. */
static void
a_holder_of_the_lock_without_a_cpu_is_not_quiet(void **state)
{
	struct model m;

	(void)state;
	model_init(&m, 1, 64, 17);
	m.load = (struct load){ .compute_ticks = 3 * MS,
		.compute_percent = 100,
		.lock = true };
	for (unsigned i = 0; i < 10; i++) {
		model_run(&m, 200 * MS);
		m.stands_still = 400 * MS;
		model_run(&m, 600 * MS);
	}
	assert_in_range(m.high, 1, 3);
}

static void
threads_are_few_again_once_handlers_compute_under_a_lock(void **state)
{
	struct model m;

	(void)state;
	model_init(&m, 1, 64, 64);
	m.load = (struct load){ .wait_ticks = 20 * MS, .lock = true };
	model_run(&m, 300 * MS);
	assert_int_equal(m.pool.limit, 64);
	m.load = (struct load){ .compute_ticks = 3 * MS,
		.compute_percent = 100,
		.lock = true };
	model_run(&m, 2000 * MS);
	m.high = 0;
	model_run(&m, 2000 * MS);
	assert_in_range(m.high, 1, 3);
}

static void
threads_are_halved_once_handlers_compute(void **state)
{
	struct model m;

	(void)state;
	model_init(&m, 1, 64, 64);
	m.load = (struct load){ .wait_ticks = 50 * MS };
	model_run(&m, 500 * MS);
	assert_int_equal(m.pool.limit, 64);
	m.load =
	    (struct load){ .compute_ticks = 20 * MS, .compute_percent = 100 };
	/* 64 handlers of 20 ms on two CPUs are 640 ms; twice that, and some */
	model_run(&m, 1500 * MS);
	assert_int_equal(m.pool.limit, 1);
}

static void
a_mixed_load_finds_its_threads_again_and_again(void **state)
{
	struct model m;

	(void)state;
	model_init(&m, 2, 32, 64);
	for (unsigned round = 0; round < 10; round++) {
		m.load = (struct load){ .wait_ticks = 20 * MS,
			.compute_ticks = 1 * MS,
			.compute_percent = 10 };
		model_run(&m, 1000 * MS);
		assert_in_range(m.pool.limit, 16, 32);
		m.load = (struct load){ .wait_ticks = 1 * MS,
			.compute_ticks = 20 * MS,
			.compute_percent = 90 };
		model_run(&m, 2000 * MS);
		assert_in_range(m.pool.limit, 2, 8);
	}
	assert_int_equal(m.low, 2);
}

static void
a_fixed_size_never_changes(void **state)
{
	static const unsigned sizes[] = { 1, 2, 7, 64 };
	struct model m;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		model_init(&m, sizes[i], sizes[i], 64);
		m.load = (struct load){ .wait_ticks = 10 * MS,
			.compute_ticks = 10 * MS,
			.compute_percent = 50 };
		model_run(&m, 500 * MS);
		m.load.compute_percent = 100;
		model_run(&m, 500 * MS);
		assert_int_equal(m.low, sizes[i]);
		assert_int_equal(m.high, sizes[i]);
	}
}

static void
nothing_grows_while_no_request_queues(void **state)
{
	struct pool p;
	struct pool_sample s = { .running = 1, .wall_ns = 1000000000 };

	(void)state;
	pool_init(&p, 1, 64);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(pool_step(&p, &s), 1);
}

static void
nothing_grows_while_threads_are_free(void **state)
{
	struct pool p;
	struct pool_sample s = { .queued = true,
		.running = 3,
		.wall_ns = 1000000000 };

	(void)state;
	pool_init(&p, 4, 64);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(pool_step(&p, &s), 4);
	s.running = 4;
	assert_int_equal(pool_step(&p, &s), 5);
}

static void
half_of_the_time_on_a_cpu_is_computing(void **state)
{
	static const uint64_t wall = 100000000;
	struct pool_sample s = { .queued = true,
		.running = 8,
		.wall_ns = wall,
		.busy_ns = wall / 2 };
	struct pool p;

	(void)state;
	pool_init(&p, 1, 64);
	p.limit = 8;
	assert_int_equal(pool_step(&p, &s), 4);
	s.busy_ns--;
	s.running = 4;
	assert_int_equal(pool_step(&p, &s), 5);
}

static void
one_step_is_never_more_than_one_thread_or_a_half(void **state)
{
	struct pool_sample s;
	struct pool p;
	unsigned was;

	(void)state;
	srandom(7);
	pool_init(&p, 3, 50);
	for (unsigned i = 0; i < 100000; i++) {
		was = p.limit;
		s = (struct pool_sample){ .queued = random() % 2,
			.running = (unsigned)(random() % 60),
			.wall_ns = (uint64_t)(random() % 30000000) };
		/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero) */
		s.busy_ns = (uint64_t)random() % (s.wall_ns + 1);
		pool_step(&p, &s);
		assert_in_range(p.limit, 3, 50);
		assert_true(p.limit <= was + 1);
		assert_true(p.limit >= was / 2);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handlers_that_wait_are_given_threads),
		cmocka_unit_test(short_waits_are_given_threads_too),
		cmocka_unit_test(
		    short_handlers_that_compute_stay_with_few_threads),
		cmocka_unit_test(handlers_that_compute_stay_with_few_threads),
		cmocka_unit_test(handlers_that_wait_need_not_mind_a_lock),
		cmocka_unit_test(
		    handlers_that_compute_under_a_lock_stay_with_few_threads),
		cmocka_unit_test(
		    handlers_that_wait_do_not_keep_out_those_that_compute),
		cmocka_unit_test(
		    a_holder_of_the_lock_without_a_cpu_is_not_quiet),
		cmocka_unit_test(
		    threads_are_few_again_once_handlers_compute_under_a_lock),
		cmocka_unit_test(threads_are_halved_once_handlers_compute),
		cmocka_unit_test(
		    a_mixed_load_finds_its_threads_again_and_again),
		cmocka_unit_test(a_fixed_size_never_changes),
		cmocka_unit_test(nothing_grows_while_no_request_queues),
		cmocka_unit_test(nothing_grows_while_threads_are_free),
		cmocka_unit_test(half_of_the_time_on_a_cpu_is_computing),
		cmocka_unit_test(
		    one_step_is_never_more_than_one_thread_or_a_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
