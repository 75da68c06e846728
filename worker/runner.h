/* The threads of a worker, as baton.c, monitor.c and runner.c see them. */
#ifndef WORKER_RUNNER_H
#define WORKER_RUNNER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct baton;
struct pf_request;

/* The state that thread_init left; another thread may read it once started is
 * set. */
struct runner_module {
	void *state;
	_Atomic bool started;
};

struct runner {
	struct runner *next; /* of baton.runners */
	struct baton *baton;
	bool is_main;
	pthread_t id;
	void *signal_stack; /* NULL: none */
	/* Of each module, by its index; whoever interrupts looks in. */
	struct runner_module *modules;
	uint64_t now_ns; /* its last handler ended, in this turn; 0: none did */
	struct pf_request *current; /* written before the sequence turns odd */
	/* The one that its module works at; NULL before anybody may free it.
	 * For report.c, which may look from a signal handler in any thread. */
	_Atomic(struct pf_request *) inside;
	/* Its handler runs without the baton; counts handlers, so that the
	 * monitor does not mix two of them. 0: it does not. */
	_Atomic uint64_t off_loop;
	_Atomic bool held_up; /* it waits for its client meanwhile */
	/* Since then its handler has been waiting for its module's lock; 0: it
	 * has passed it, or there is none. */
	_Atomic uint64_t at_lock_since_ns;
	uint64_t handlers;   /* so far, this thread's own count */
	int schedstat_fd;    /* -1: this kernel has none */
	clockid_t cpu_clock; /* instead */
	bool has_cpu_clock;
	/* the monitor's */
	uint64_t sampled_handler, sampled_at_ns, sampled_busy_ns;
};

/* Before its thread exists.  NULL when memory is out. */
struct runner *runner_new(struct baton *, bool is_main);
/* In the thread itself: from now on it can be measured. */
void runner_begin(struct runner *);
/* In the thread, if it ever began: ends the modules' per-thread states. */
void runner_free(struct runner *);

/* This thread's state of the module, made when first asked for.  false: the
 * module refused. */
bool runner_module_state(struct runner *, struct pf_request *, void **state);

/* In the thread: its handler begins, with waiting for its module's lock if that
 * ever told of one; it has passed the lock. */
void runner_at_lock(struct runner *, const struct pf_request *);
void runner_past_lock(struct runner *, const struct pf_request *);

/* CPU time and time spent waiting for a CPU, ns; any thread.  false: unknown.
 */
bool runner_busy_ns(const struct runner *, uint64_t *);

/* ---- between baton.c and monitor.c; the lock is held ------------------- */

/* Is there, or could be made, a thread that takes the baton? */
bool baton_has_successor(struct baton *);
/* The holder's handler goes on without the baton. */
void baton_pass(struct baton *, struct pf_request *);

void *monitor_main(void *arg); /* the baton */
/* Any thread: something may need a look. */
void monitor_notice(struct baton *);

#endif
