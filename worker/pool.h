/*
 * How many handlers may run at once: one more while requests queue and the
 * handlers mostly wait, half as many when they compute, or wait for each other
 * at a lock of their interpreter.  So an app that
 * computes has the latency of few threads, one that waits the concurrency of
 * many.  Pure: time and measurements are arguments.
 */
#ifndef WORKER_POOL_H
#define WORKER_POOL_H

#include <stdbool.h>
#include <stdint.h>

struct pool {
	unsigned min, max, limit;
	uint64_t wall_ns, busy_ns; /* the evidence since the last decision */
	uint64_t lock_ns; /* waits for the handlers' lock since limit changed */
	unsigned n_locks;
	bool has_lock; /* there is one: such a wait was ever reported */
	uint64_t quiet_wall_ns, quiet_busy_ns; /* does anybody compute? */
};

/* What was seen of the handlers at work since the last step. */
struct pool_sample {
	bool queued;         /* requests wait for a thread */
	unsigned running;    /* handlers at work off the loop */
	uint64_t wall_ns;    /* their time, summed */
	uint64_t busy_ns;    /* of it on a CPU or waiting for one */
	uint64_t lock_ns;    /* waits for a lock that handlers share, summed */
	unsigned n_locks;    /* how many */
	uint64_t at_lock_ns; /* the longest that goes on */
};

void pool_init(struct pool *, unsigned min, unsigned max);

/* Once per POOL_STEP_NS while handlers are at work; returns the limit. */
#define POOL_STEP_NS 1000000ull
unsigned pool_step(struct pool *, const struct pool_sample *);

#endif
