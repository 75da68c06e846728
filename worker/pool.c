#include "worker/pool.h"

/* Less than this says nothing: a handler has its start-up, a clock its grain.
 */
#define GROW_EVIDENCE_NS   1000000ull
#define SHRINK_EVIDENCE_NS 20000000ull

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

unsigned
pool_step(struct pool *p, const struct pool_sample *s)
{
	bool computing;

	p->wall_ns += s->wall_ns;
	p->busy_ns += s->busy_ns;
	computing = p->busy_ns >= p->wall_ns - p->wall_ns / 2;
	if (!computing && p->wall_ns >= GROW_EVIDENCE_NS) {
		if (s->queued && s->running >= p->limit && p->limit < p->max)
			p->limit++;
		evidence_forget(p);
	} else if (computing && p->wall_ns >= SHRINK_EVIDENCE_NS) {
		p->limit = p->limit / 2 > p->min ? p->limit / 2 : p->min;
		evidence_forget(p);
	}
	return p->limit;
}
