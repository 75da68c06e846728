#include <time.h>

#include "common/clock.h"
#include "common/scoreboard.h"
#include "worker/core.h"
#include "worker/mail.h"
#include "worker/runner.h"

#define LOOK_NS    1000000ull /* between two looks */
#define IDLE_LOOKS 50         /* without any event, then it sleeps */
#define SAMPLES    8          /* threads measured in one step */

/* What the monitor remembers from look to look. */
struct look {
	uint64_t seq;
	unsigned idle;
	uint64_t next_step_ns;
	struct runner *sample_from; /* where the next sample goes on */
};

/*
 * The sequence and the flag are both sequentially consistent: either the
 * monitor sees the new sequence, or the holder sees that it sleeps.
 */
void
monitor_notice(struct baton *b)
{
	if (!atomic_load(&b->monitor_asleep))
		return;
	pthread_mutex_lock(&b->monitor_lock);
	atomic_store(&b->monitor_asleep, false);
	pthread_cond_signal(&b->monitor_wake);
	pthread_mutex_unlock(&b->monitor_lock);
}

static void
monitor_sleep(struct baton *b, uint64_t seq)
{
	pthread_mutex_lock(&b->monitor_lock);
	atomic_store(&b->monitor_asleep, true);
	while (atomic_load(&b->monitor_asleep) &&
	    !atomic_load(&b->monitor_stop) && atomic_load(&b->seq) == seq &&
	    atomic_load(&b->queued) == 0)
		pthread_cond_wait(&b->monitor_wake, &b->monitor_lock);
	atomic_store(&b->monitor_asleep, false);
	pthread_mutex_unlock(&b->monitor_lock);
}

/* The handler was there at the last look too: a waiting thread takes over. */
static void
depose(struct baton *b, uint64_t seq)
{
	pthread_mutex_lock(&b->lock);
	if (baton_has_successor(b) &&
	    atomic_compare_exchange_strong(&b->seq, &seq, seq + 1)) {
		SCORE_ADD(b->worker->score, takeovers, 1);
		baton_pass(b, b->holder->current);
	}
	pthread_mutex_unlock(&b->lock);
}

/* Adds what the thread did since it was sampled last in the same handler. */
static void
sample_runner(struct runner *t, uint64_t now, struct pool_sample *s)
{
	uint64_t handler = atomic_load(&t->off_loop), busy;
	uint64_t since = atomic_load(&t->at_lock_since_ns);

	if (atomic_load(&t->held_up)) {
		t->sampled_handler = 0; /* nor what it waited until then */
		return;
	}
	if (handler == 0)
		return;
	if (since != 0 && now > since + s->at_lock_ns)
		s->at_lock_ns = now - since;
	if (!runner_busy_ns(t, &busy))
		return;
	if (handler == t->sampled_handler) {
		s->wall_ns += now - t->sampled_at_ns;
		s->busy_ns += busy - t->sampled_busy_ns;
	}
	t->sampled_handler = handler;
	t->sampled_at_ns = now;
	t->sampled_busy_ns = busy;
}

/* A few threads at a time, in turn: with 64 of them reading all would cost more
 * than it tells. */
static void
sample_some(struct baton *b, struct look *look, uint64_t now,
    struct pool_sample *s)
{
	struct runner *t = NULL;
	unsigned seen = 0, taken = 0;

	pthread_mutex_lock(&b->lock);
	for (t = b->runners; t != NULL && t != look->sample_from; t = t->next)
		continue;
	for (; seen < b->n_threads && taken < SAMPLES; seen++) {
		if (t == NULL)
			t = b->runners;
		if (t == NULL)
			break;
		taken += atomic_load(&t->off_loop) != 0;
		sample_runner(t, now, s);
		t = t->next;
	}
	look->sample_from = t;
	pthread_mutex_unlock(&b->lock);
}

static void
adapt(struct baton *b, struct look *look)
{
	struct pool_sample s = {
		.queued = atomic_load(&b->queued) > 0,
		.running = baton_at_work(b),
	};
	uint64_t now = clock_now_ns();
	unsigned was = b->pool.limit;

	if (s.running == 0 || now < look->next_step_ns)
		return;
	look->next_step_ns = now + POOL_STEP_NS;
	if (!s.queued && s.running < 2)
		return;
	sample_some(b, look, now, &s);
	s.wall_ns += atomic_exchange(&b->short_wall_ns, 0);
	s.busy_ns += atomic_exchange(&b->short_busy_ns, 0);
	s.lock_ns = atomic_exchange(&b->lock_ns, 0);
	s.n_locks = atomic_exchange(&b->n_locks, 0);
	atomic_store(&b->limit, pool_step(&b->pool, &s));
	if (b->pool.limit > was)
		mail_wake(&b->worker->mailbox);
}

void *
monitor_main(void *arg)
{
	static const struct timespec nap = { .tv_nsec = LOOK_NS };
	struct baton *b = arg;
	struct look look = { 0 };

	while (!atomic_load(&b->monitor_stop)) {
		uint64_t seq = atomic_load(&b->seq);

		if ((seq & 1) != 0 && seq == look.seq)
			depose(b, seq);
		adapt(b, &look);
		look.idle = seq == look.seq && (seq & 1) == 0 &&
			atomic_load(&b->queued) == 0 ?
		    look.idle + 1 :
		    0;
		look.seq = seq;
		if (look.idle < IDLE_LOOKS) {
			clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
			continue;
		}
		monitor_sleep(b, seq);
		look.idle = 0;
	}
	return NULL;
}
