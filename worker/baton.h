/*
 * The baton: identical threads, of which exactly one runs the libev loop, and
 * runs fast handlers right there, without a hand-off.
 *
 *   holder   ev_run(EVRUN_ONCE); for each ready request: publish, run, and
 *            compare-and-swap the sequence: still the holder?  Small answers
 *            of one turn are sent together
 *   monitor  looks every millisecond; a handler still running at the second
 *            look loses the baton: a waiting thread takes over the loop
 *   eager    an app whose handlers take 300 us on average passes the baton
 *            before it runs one; 1 ms, if they compute all that time
 *
 * The sequence number is odd while the holder is inside a handler.  Whoever
 * swaps it to even (the holder coming back, the monitor, the handler itself
 * before it blocks in a wait_*) decides who the holder is.
 */
#ifndef WORKER_BATON_H
#define WORKER_BATON_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "worker/pool.h"

struct pf_request;
struct worker;

struct runner; /* a thread */

struct baton {
	struct worker *worker;
	pthread_mutex_t lock;
	pthread_cond_t changed;      /* is_free, stopping, n_threads */
	bool is_free, stopping;      /* guarded by lock, as is what follows */
	unsigned n_threads, waiting; /* threads that serve, that want it */
	unsigned leaving;            /* threads that tidy up after themselves */
	/* waiting, at least, since then; and how many of them may leave */
	unsigned idle_least, idle_excess;
	uint64_t idle_since_ns;
	uint64_t no_thread_ns; /* when it was told that none can be made */
	unsigned max_threads;
	struct runner *runners;
	struct runner *holder;
	struct runner *main; /* of the main thread, until it serves */
	struct pf_request *handed_over; /* its handler runs on off the loop */

	_Atomic uint64_t seq;
	_Atomic unsigned running; /* handlers at work off the loop */
	_Atomic unsigned held_up; /* of them: wait for their client */
	_Atomic unsigned limit;   /* of the others, and one on the loop */
	_Atomic unsigned queued;  /* requests that wait for a thread */
	/* Of handlers that ended before the monitor saw them twice. */
	_Atomic uint64_t short_wall_ns, short_busy_ns;
	/* Waits for a lock that handlers share, as modules report them. */
	_Atomic uint64_t lock_ns;
	_Atomic unsigned n_locks;

	pthread_t monitor;
	pthread_mutex_t monitor_lock;
	pthread_cond_t monitor_wake;
	_Atomic bool monitor_asleep;
	_Atomic bool monitor_stop;
	bool monitor_runs;
	struct pool pool; /* the monitor's */
};

/* 0, or -1 and errno.  No thread but the monitor is made yet. */
int baton_init(struct baton *, struct worker *, unsigned min_threads,
    unsigned max_threads);
void baton_fini(struct baton *);

/* The main thread: serves until worker->finished.  true: all other threads have
 * ended; false: some hang in a handler, and nothing they use may be freed. */
bool baton_serve(struct baton *);

/* In a handler about to block: if this thread holds the baton, it passes it on.
 * false: nobody could take it (no memory for a thread): do not block. */
bool baton_before_wait(struct baton *);

/* Around that wait, for what the client sends or takes.  Such a handler is not
 * one of those that the pool limits: else a few slow clients would take the
 * place of all others, whether these wait or compute. */
void baton_held_up(struct baton *);
void baton_goes_on(struct baton *);
/* Handlers at work off the loop, but for those. */
unsigned baton_at_work(const struct baton *);

/* Asks the module to end the handler of this request, if it is still at work.
 * false: it cannot. */
bool baton_interrupt(struct baton *, struct pf_request *);

/* In a handler: it waited so long for a lock of its module. */
void baton_lock_waited(struct baton *, const struct pf_request *, uint64_t ns);

#endif
