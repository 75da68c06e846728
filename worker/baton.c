#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "conf/settings.h"
#include "worker/core.h"
#include "worker/fork_guard.h"
#include "worker/http/h1_conn.h"
#include "worker/mail.h"
#include "worker/request.h"
#include "worker/runner.h"

#define TURN_US  1000 /* of handlers, before the loop turns again */
#define DEFER_US 500  /* an answer waits for those of others at most */
#define SHORT_NS (10 * NS_PER_MS) /* the monitor may miss one so short */
#define IDLE_S   4                /* a thread not needed for that long may go */

static _Thread_local struct runner *self; /* NULL: a thread of a module */

static void *runner_main(void *arg); /* its struct runner */

/* ---- threads ----------------------------------------------------------- */

/* The lock is held. */
static void
threads_changed(struct baton *b, int serving, int leaving)
{
	b->n_threads += (unsigned)serving;
	b->leaving += (unsigned)leaving;
	SCORE_SET(b->worker->score, threads, b->n_threads + b->leaving);
	pthread_cond_broadcast(&b->changed);
}

/* The lock is held.  0, or an errno. */
static int
thread_make(struct baton *b)
{
	struct runner *t = runner_new(b, false);
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	if (t == NULL)
		return ENOMEM;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* no signal is blocked: programs that handlers start would inherit it
	 */
	err = pthread_create(&thread, &attr, runner_main, t);
	pthread_attr_destroy(&attr);
	if (err == 0)
		threads_changed(b, +1, 0);
	else
		runner_free(t);
	return err;
}

/* Told at most once a second: a handler that keeps the loop has the monitor
 * try many times in one.  The lock is held. */
static void
tell_no_thread(struct baton *b, int err)
{
	uint64_t now = clock_now_ns();

	if (b->no_thread_ns != 0 && now - b->no_thread_ns < NS_PER_S)
		return;
	b->no_thread_ns = now;
	errno = err;
	log_warn("cannot make a thread");
}

bool
baton_has_successor(struct baton *b)
{
	int err;

	/* a thread being made counts: it comes for the baton */
	if (b->n_threads > 1 + atomic_load(&b->running))
		return true;
	if (b->n_threads >= b->max_threads)
		return false;
	err = thread_make(b);
	if (err != 0)
		tell_no_thread(b, err);
	return err == 0;
}

/* The lock is held. */
static void
baton_free(struct baton *b)
{
	b->holder = NULL;
	b->is_free = true;
	pthread_cond_signal(&b->changed);
}

void
baton_pass(struct baton *b, struct pf_request *r)
{
	struct runner *t = b->holder;

	pf_assert(b->handed_over == NULL);
	atomic_fetch_add(&b->running, 1);
	atomic_store(&t->off_loop, ++t->handlers);
	b->handed_over = r;
	baton_free(b);
}

bool
baton_before_wait(struct baton *b)
{
	uint64_t seq;
	bool ok = true;

	if (self == NULL || atomic_load(&self->off_loop) != 0)
		return true;
	pthread_mutex_lock(&b->lock);
	seq = atomic_load(&b->seq);
	if (b->holder == self) { /* else the monitor was faster */
		pf_assert((seq & 1) != 0);
		ok = baton_has_successor(b);
		if (ok) {
			atomic_store(&b->seq, seq + 1);
			baton_pass(b, self->current);
		}
	}
	pthread_mutex_unlock(&b->lock);
	return ok;
}

void
baton_held_up(struct baton *b)
{
	if (self == NULL)
		return;
	atomic_store(&self->held_up, true);
	atomic_fetch_add(&b->held_up, 1);
	if (atomic_load(&b->queued) > 0)
		mail_wake(&b->worker->mailbox); /* there is room for another */
}

void
baton_goes_on(struct baton *b)
{
	if (self == NULL)
		return;
	atomic_fetch_sub(&b->held_up, 1);
	atomic_store(&self->held_up, false);
}

unsigned
baton_at_work(const struct baton *b)
{
	unsigned running = atomic_load(&b->running);
	unsigned held_up = atomic_load(&b->held_up);

	return running > held_up ? running - held_up : 0;
}

bool
baton_interrupt(struct baton *b, struct pf_request *r)
{
	struct module *m = r->app->module;
	bool found = false;

	if (m->calls.interrupt == NULL)
		return false;
	/* held all the while: the thread and its state stay */
	pthread_mutex_lock(&b->lock);
	for (struct runner *t = b->runners; t != NULL; t = t->next) {
		struct runner_module *its = &t->modules[m->index];

		if (t->current != r || atomic_load(&t->off_loop) == 0 ||
		    !atomic_load_explicit(&its->started, memory_order_acquire))
			continue;
		m->calls.interrupt(m->state, r, its->state);
		found = true;
	}
	pthread_mutex_unlock(&b->lock);
	return found;
}

void
baton_lock_waited(struct baton *b, const struct pf_request *r, uint64_t ns)
{
	if (self != NULL)
		runner_past_lock(self, r);
	atomic_fetch_add_explicit(&b->lock_ns, ns, memory_order_relaxed);
	atomic_fetch_add_explicit(&b->n_locks, 1, memory_order_relaxed);
}

/* ---- running handlers -------------------------------------------------- */

/* A process that the handler forked came back from it, too.  It must not go on
 * as a second worker, which has a copy of everybody's requests. */
_Noreturn static void
leave_child(const struct pf_request *r)
{
	log_warnx("app %s: a process that a handler forked returned from the "
		  "handler: ended",
	    r->app->settings->name);
	_exit(EXIT_FAILURE);
}

static bool
run_handler(struct pf_request *r)
{
	struct habit *habit = &r->app->habit;
	long begun = habit_begin(habit);
	uint64_t run_ns = r->run_ns; /* in the end it may be another's */
	void *state;
	bool has_state, complete;

	atomic_store(&self->inside, r);
	has_state = runner_module_state(self, r, &state);
	if (has_state) {
		runner_at_lock(self, r);
		request_run(r, state);
	}
	if (fork_guard_is_child())
		leave_child(r);
	atomic_store(&self->inside, NULL);
	complete = has_state ? request_returned(r) : request_refuse(r);
	self->now_ns = clock_now_ns();
	habit_note(habit, begun, self->now_ns - run_ns);
	return complete;
}

/* A handler came back in a thread that has not the baton (any more). */
static void
off_loop_done(struct baton *b, struct pf_request *r, bool complete)
{
	/* whoever took the baton may still be counting this handler */
	pthread_mutex_lock(&b->lock);
	atomic_store(&self->off_loop, 0);
	atomic_fetch_sub(&b->running, 1);
	pthread_mutex_unlock(&b->lock);
	if (complete)
		mail_send(&b->worker->mailbox, r, MAIL_FINISHED);
	else
		mail_wake(&b->worker->mailbox);
}

/* Are its answers and those of others worth being sent together? */
static bool
answers_together(const struct worker *w, const struct pf_app *app)
{
	return w->ready.n + w->deferred.n > 0 && !habit_is_brisk(&app->habit);
}

/* false: the baton is gone. */
static bool
run_on_loop(struct baton *b, struct pf_request *r)
{
	uint64_t seq = atomic_load_explicit(&b->seq, memory_order_relaxed) + 1;
	bool complete;

	self->current = r;
	r->gate.may_defer = answers_together(b->worker, r->app);
	atomic_store(&b->seq, seq);
	monitor_notice(b);
	complete = run_handler(r);
	if (!atomic_compare_exchange_strong(&b->seq, &seq, seq + 1)) {
		off_loop_done(b, r, complete);
		return false;
	}
	if (complete)
		h1_request_finished(r);
	else
		h1_request_in_work(r);
	return true;
}

/* As run_handler; tells the monitor about a short one, which it cannot measure
 * itself. */
static bool
run_measured(struct baton *b, struct pf_request *r)
{
	uint64_t began = clock_now_ns(), from, to, wall;
	bool known = runner_busy_ns(self, &from);
	bool complete = run_handler(r);

	wall = clock_now_ns() - began;
	if (known && wall < SHORT_NS && runner_busy_ns(self, &to)) {
		atomic_fetch_add(&b->short_wall_ns, wall);
		atomic_fetch_add(&b->short_busy_ns, to - from);
	}
	return complete;
}

static void
run_off_loop(struct baton *b, struct pf_request *r)
{
	self->current = r;
	pthread_mutex_lock(&b->lock);
	atomic_fetch_add(&b->seq, 2);
	baton_pass(b, r);
	pthread_mutex_unlock(&b->lock);
	monitor_notice(b);
	off_loop_done(b, r, run_measured(b, r));
}

/* Is the app slow enough to pass the baton first, and is there somebody? */
static bool
pass_first(struct baton *b, const struct pf_app *app)
{
	bool ok;

	if (habit_is_fast(&app->habit))
		return false;
	pthread_mutex_lock(&b->lock);
	ok = baton_has_successor(b);
	pthread_mutex_unlock(&b->lock);
	return ok;
}

/* Would the first of the deferred answers wait too long for this one's? */
static bool
defers_too_long(struct worker *w, const struct pf_request *r)
{
	const struct pf_request *first = w->deferred.first;

	return first != NULL &&
	    (r->run_ns - first->run_ns) / NS_PER_US +
		habit_average_us(&r->app->habit) >
	    DEFER_US;
}

/* false: the baton is gone. */
static bool
run_next(struct baton *b)
{
	struct pf_request *r = ready_next(b->worker);
	bool passes;

	if (r == NULL)
		return true; /* nobody wants that answer any more */
	/* where one handler ends the next begins: one look at the clock each */
	r->run_ns = self->now_ns != 0 ? self->now_ns : clock_now_ns();
	passes = pass_first(b, r->app);
	if (passes || defers_too_long(b->worker, r))
		h1_send_deferred(b->worker);
	if (!passes)
		return run_on_loop(b, r);
	run_off_loop(b, r);
	return false;
}

static bool
may_run(struct baton *b)
{
	return b->worker->ready.n > 0 &&
	    baton_at_work(b) < atomic_load(&b->limit) &&
	    atomic_load(&b->running) + 1 < b->max_threads;
}

/* ---- holding it -------------------------------------------------------- */

/* This thread took the baton, and `waiting` others did not: if so many never
 * did for a while, all but one of them are too many.  They take turns, so none
 * of them need ever wait for IDLE_S. */
static void
idle_note(struct baton *b)
{
	uint64_t now = clock_now_ns();

	if (b->waiting < b->idle_least)
		b->idle_least = b->waiting;
	if (now - b->idle_since_ns < IDLE_S * NS_PER_S)
		return;
	b->idle_excess = b->idle_least > 1 ? b->idle_least - 1 : 0;
	b->idle_least = b->waiting;
	b->idle_since_ns = now;
}

/* false: it waited for nothing, or is one too many. */
static bool
baton_wait(struct baton *b, struct timespec *until)
{
	if (!self->is_main && b->waiting > 1 && b->idle_excess > 0) {
		b->idle_excess--;
		return false;
	}
	if (pthread_cond_timedwait(&b->changed, &b->lock, until) != ETIMEDOUT)
		return true;
	until->tv_sec += IDLE_S;
	return self->is_main || b->waiting < 2;
}

/* false: the worker is to end, or this thread. */
static bool
baton_take(struct baton *b)
{
	struct pf_request *r;
	struct timespec until;
	bool stays = true;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_S;
	pthread_mutex_lock(&b->lock);
	b->waiting++;
	while (!b->is_free && !b->stopping && stays)
		stays = baton_wait(b, &until);
	b->waiting--;
	if (!b->is_free || b->stopping) {
		threads_changed(b, -1, +1);
		pthread_mutex_unlock(&b->lock);
		return false;
	}
	b->is_free = false;
	b->holder = self;
	idle_note(b);
	r = b->handed_over;
	b->handed_over = NULL;
	pthread_mutex_unlock(&b->lock);
	if (r != NULL)
		h1_request_in_work(r);
	return true;
}

/* What was ready when the turn began, or as much of it as a turn has time for;
 * what comes up meanwhile (pipelined requests) has its turn after the sockets
 * had theirs.  false: the baton is gone. */
static bool
run_turn(struct baton *b)
{
	h1_send_deferred(b->worker); /* of a thread that lost the baton */
	h1_pipelined(b->worker);
	self->now_ns = 0;
	for (unsigned n = b->worker->ready.n; n > 0 && may_run(b); n--) {
		if (!run_next(b))
			return false;
		if (self->now_ns > b->worker->now_ns + TURN_US * NS_PER_US)
			break;
	}
	h1_send_deferred(b->worker);
	return true;
}

/* Nothing is left to do.  The main thread ends the worker, unless it is itself
 * the one that hangs in a handler. */
static void
baton_stop(struct baton *b)
{
	bool main_hangs = false;

	pthread_mutex_lock(&b->lock);
	b->stopping = true;
	b->holder = NULL;
	for (struct runner *t = b->runners; t != NULL; t = t->next)
		main_hangs |= t->is_main && atomic_load(&t->off_loop) != 0;
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
	if (main_hangs)
		worker_leave_stuck(b->worker);
}

/* Until the baton is lost, or there is nothing left to do. */
static void
baton_hold(struct baton *b)
{
	struct worker *w = b->worker;
	bool more;

	for (;;) {
		if (!run_turn(b))
			return;
		if (w->finished)
			break;
		if (w->ready.n > 0 && !may_run(b)) {
			atomic_store(&b->queued, w->ready.n);
			monitor_notice(b);
		}
		/* behind the store: a handler that is held up from now on sees
		 * that somebody is queued, or we that it is */
		more = may_run(b) || w->pipelined.n > 0 ||
		    !TAILQ_EMPTY(&w->passed_over);
		access_log_flush(&w->access_log);
		ev_run(w->loop, more ? EVRUN_NOWAIT : EVRUN_ONCE);
		atomic_store_explicit(&b->queued, 0, memory_order_relaxed);
	}
	baton_stop(b);
}

static void
runner_leave(struct baton *b, struct runner *t)
{
	struct runner **at;

	pthread_mutex_lock(&b->lock);
	for (at = &b->runners; *at != t; at = &(*at)->next)
		continue;
	*at = t->next;
	pthread_mutex_unlock(&b->lock);
	runner_free(t); /* may call into modules: not under the lock */
}

static void
runner_join(struct runner *t)
{
	struct baton *b = t->baton;

	self = t;
	runner_begin(t);
	pthread_mutex_lock(&b->lock);
	t->next = b->runners;
	b->runners = t;
	pthread_mutex_unlock(&b->lock);
}

static void *
runner_main(void *arg)
{
	struct runner *t = arg;
	struct baton *b = t->baton;

	prctl(PR_SET_NAME, "handler");
	runner_join(t);
	while (baton_take(b))
		baton_hold(b);
	runner_leave(b, t);
	pthread_mutex_lock(&b->lock);
	threads_changed(b, 0, -1);
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

bool
baton_serve(struct baton *b)
{
	bool all_ended;

	struct runner *t = b->main;

	b->main = NULL;
	runner_join(t);
	while (baton_take(b))
		baton_hold(b);
	runner_leave(b, self);
	pthread_mutex_lock(&b->lock);
	threads_changed(b, 0, -1);
	while (b->leaving > 0 || b->n_threads > atomic_load(&b->running))
		pthread_cond_wait(&b->changed, &b->lock);
	all_ended = b->n_threads == 0;
	pthread_mutex_unlock(&b->lock);
	return all_ended;
}

/* ---- making and ending ------------------------------------------------- */

int
baton_init(struct baton *b, struct worker *w, unsigned min_threads,
    unsigned max_threads)
{
	pthread_condattr_t attr;
	int err;

	*b = (struct baton){ .worker = w, .is_free = true, .n_threads = 1 };
	b->max_threads = max_threads + 1;
	atomic_init(&b->limit, min_threads);
	pool_init(&b->pool, min_threads, max_threads);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->changed, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&b->lock, NULL);
	pthread_mutex_init(&b->monitor_lock, NULL);
	pthread_cond_init(&b->monitor_wake, NULL);
	SCORE_SET(w->score, threads, 1);
	b->main = runner_new(b, true);
	if (b->main == NULL)
		return -1;
	err = pthread_create(&b->monitor, NULL, monitor_main, b);
	if (err != 0) {
		errno = err;
		return -1;
	}
	b->monitor_runs = true;
	return 0;
}

void
baton_fini(struct baton *b)
{
	if (b->main != NULL)
		runner_free(b->main); /* it never served */
	b->main = NULL;
	if (!b->monitor_runs)
		return;
	atomic_store(&b->monitor_stop, true);
	monitor_notice(b);
	pthread_join(b->monitor, NULL);
	b->monitor_runs = false;
}
