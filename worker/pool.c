#include "worker/pool.h"

/* Less than this says nothing: a handler has its start-up, a clock its grain.
 */
#define GROW_EVIDENCE_NS   1000000ull
#define SHRINK_EVIDENCE_NS 20000000ull
/* An average wait for the handlers' own lock that says: they compute. */
#define LOCK_WAIT_NS 1000000ull

void
pool_init(struct pool *p, unsigned min, unsigned max)
{
	*p = (struct pool){ .min = min, .max = max, .limit = min };
}

static void
evidence_forget(struct pool *p)
{
	p->wall_ns = p->busy_ns = p->lock_ns = 0;
	p->n_locks = 0;
}

/* Whoever waits for its interpreter's lock waits for others that compute, and
 * looks like one that waits for a database. */
static bool
computing(const struct pool *p)
{
	return p->busy_ns >= p->wall_ns - p->wall_ns / 2 ||
	    p->lock_ns > LOCK_WAIT_NS * p->n_locks;
}

unsigned
pool_step(struct pool *p, const struct pool_sample *s)
{
	p->wall_ns += s->wall_ns;
	p->busy_ns += s->busy_ns;
	p->lock_ns += s->lock_ns;
	p->n_locks += s->n_locks;
	if (!computing(p) && p->wall_ns >= GROW_EVIDENCE_NS) {
		if (s->queued && s->running >= p->limit && p->limit < p->max)
			p->limit++;
		evidence_forget(p);
	} else if (computing(p) && p->wall_ns >= SHRINK_EVIDENCE_NS) {
		p->limit = p->limit / 2 > p->min ? p->limit / 2 : p->min;
		evidence_forget(p);
	}
	return p->limit;
}
