#include "worker/pool.h"

/* Less than this says nothing: a handler has its start-up, a clock its grain.
 */
#define GROW_EVIDENCE_NS   1000000ull
#define SHRINK_EVIDENCE_NS 20000000ull
/* An average wait for the handlers' own lock that says: they compute. */
#define LOCK_WAIT_NS 1000000ull
#define LOCKS_MAX    16

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

/* Where there is a lock, the handler that was let in last has passed it: what
 * it waited is what the next one would. */
static bool
may_grow(const struct pool *p, const struct pool_sample *s)
{
	return s->queued && s->running >= p->limit && p->limit < p->max &&
	    (!p->has_lock || p->n_locks > 0);
}

unsigned
pool_step(struct pool *p, const struct pool_sample *s)
{
	bool computing;

	p->wall_ns += s->wall_ns;
	p->busy_ns += s->busy_ns;
	locks_note(p, s);
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
