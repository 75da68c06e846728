#include "master/stall.h"

/* A master that looks so much too late stood still itself, perhaps with all its
 * workers: it judges nobody. */
#define LATE 1000 /* ms */

#define PATIENCE_MIN 50 /* ms */

static enum stall_verdict
poke(struct stall *s, msec_t now, msec_t patience)
{
	s->poked = now;
	s->due = now + patience;
	return STALL_POKE;
}

/* It was poked and has not turned since. */
static enum stall_verdict
judge_silent(struct stall *s, msec_t now, msec_t patience)
{
	if (now < s->due)
		return STALL_NOTHING;
	if (now > s->due + LATE)
		return poke(s, now, patience);
	s->due = now + patience;
	if (s->stalled)
		return STALL_NOTHING;
	s->stalled = true;
	return STALL_STALLED;
}

enum stall_verdict
stall_judge(struct stall *s, msec_t heartbeat, msec_t now, msec_t timeout)
{
	msec_t patience =
	    timeout / 2 > PATIENCE_MIN ? timeout / 2 : PATIENCE_MIN;

	if (s->poked != 0 && heartbeat < s->poked)
		return judge_silent(s, now, patience);
	s->poked = 0;
	if (s->stalled) {
		s->stalled = false;
		s->due = heartbeat + patience;
		return STALL_REVIVED;
	}
	if (now >= heartbeat + patience)
		return poke(s, now, patience);
	s->due = heartbeat + patience;
	return STALL_NOTHING;
}
