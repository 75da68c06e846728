#include "worker/pool.h"

/* Less than this says nothing: a handler has its start-up, a clock its grain.
 */
#define GROW_EVIDENCE_NS   1000000ull
#define SHRINK_EVIDENCE_NS 20000000ull
/* An average wait for the handlers' own lock that says: they compute. */
#define LOCK_WAIT_NS 1000000ull
#define LOCKS_MAX    16
/* Of each handler, to say that none of them computes: together they have less
 * than a part of one CPU. */
#define QUIET_EVIDENCE_NS 20000000ull
#define QUIET_PART        4

void
pool_init(struct pool *p, unsigned min, unsigned max)
{
	*p = (struct pool){ .min = min, .max = max, .limit = min };
}

static void
evidence_forget(struct pool *p)
{
	p->wall_ns = p->busy_ns = 0;
}

/* What the handlers that were let in since then found at the lock says nothing
 * of this limit. */
static void
limit_set(struct pool *p, unsigned limit)
{
	p->limit = limit;
	p->lock_ns = 0;
	p->n_locks = 0;
	p->quiet_wall_ns = p->quiet_busy_ns = 0;
}

static void
locks_note(struct pool *p, const struct pool_sample *s)
{
	if (p->n_locks > LOCKS_MAX) { /* the latest count most */
		p->lock_ns /= 2;
		p->n_locks /= 2;
	}
	p->lock_ns += s->lock_ns;
	p->n_locks += s->n_locks;
	p->has_lock |= s->n_locks > 0;
}

/* Whoever waits for its interpreter's lock waits for others that compute, and
 * looks like one that waits for a database. */
static bool
is_computing(const struct pool *p)
{
	return p->busy_ns >= p->wall_ns - p->wall_ns / 2 ||
	    p->lock_ns > LOCK_WAIT_NS * p->n_locks;
}

/* One more would only wait for it, too.  Whoever has it may be waiting for a
 * CPU: that is told only once he gets it, and until then he looks idle. */
static bool
lock_is_taken(const struct pool_sample *s)
{
	return s->at_lock_ns > LOCK_WAIT_NS;
}

/* Where there is a lock, the handler that was let in last has passed it: what
 * it waited is what the next one would. */
static bool
may_grow(const struct pool *p, const struct pool_sample *s)
{
	return s->queued && s->running >= p->limit && p->limit < p->max &&
	    (!p->has_lock || p->n_locks > 0) && !lock_is_taken(s);
}

/* Those at work wait for something, and not for the lock, which nobody has who
 * computes.  Else they could keep all others out: they fill a limit that was
 * halved when somebody did compute, so nobody is let in who might find the lock
 * free. */
static bool
nobody_computes(struct pool *p, const struct pool_sample *s)
{
	bool quiet;

	p->quiet_wall_ns += s->wall_ns;
	p->quiet_busy_ns += s->busy_ns;
	if (p->quiet_wall_ns < QUIET_EVIDENCE_NS * s->running)
		return false;
	quiet = p->quiet_busy_ns * s->running < p->quiet_wall_ns / QUIET_PART;
	p->quiet_wall_ns = p->quiet_busy_ns = 0;
	return quiet;
}

/* One more than there are, however much more than the limit that is. */
static bool
grow_past_those_who_wait(struct pool *p, const struct pool_sample *s)
{
	bool quiet = nobody_computes(p, s);

	if (!quiet || lock_is_taken(s) || !s->queued || s->running < p->limit ||
	    s->running >= p->max)
		return false;
	limit_set(p, s->running + 1);
	evidence_forget(p);
	return true;
}

unsigned
pool_step(struct pool *p, const struct pool_sample *s)
{
	bool computing;

	p->wall_ns += s->wall_ns;
	p->busy_ns += s->busy_ns;
	locks_note(p, s);
	if (p->has_lock && grow_past_those_who_wait(p, s))
		return p->limit;
	computing = is_computing(p);
	if (!computing && p->wall_ns >= GROW_EVIDENCE_NS) {
		if (may_grow(p, s))
			limit_set(p, p->limit + 1);
		evidence_forget(p);
	} else if (computing && p->wall_ns >= SHRINK_EVIDENCE_NS) {
		limit_set(p, p->limit / 2 > p->min ? p->limit / 2 : p->min);
		evidence_forget(p);
	}
	return p->limit;
}
