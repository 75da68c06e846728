#include "worker/net/share.h"

#define CHANCES   25   /* in a row: a few pass on a busy machine, too */
#define LATE_MS   50   /* a loop that turns may be; as long as those chances */
#define DEAF_MS   100  /* what a chance for the deaf costs must not matter */
#define SAME_MS   10   /* who waited during a chance is taken so soon */
#define FORGET_MS 1000 /* what was in vain so long ago */

/* A quarter more than the least loaded is as good as equal. */
bool
share_yields(unsigned mine, unsigned least)
{
	unsigned slack = least / 4 > 1 ? least / 4 : 1;

	return mine >= least && mine - least > slack;
}

void
share_chance_over(struct share *s, uint64_t now_ms)
{
	s->over_ms = now_ms;
}

/* Long after the chance, it is another connection: the one before was taken. */
void
share_insist(struct share *s, uint64_t now_ms)
{
	if (now_ms - s->over_ms >= SAME_MS) {
		s->in_vain = 0;
		return;
	}
	if (now_ms - s->judged_ms >= FORGET_MS)
		s->in_vain = 0;
	s->judged_ms = now_ms;
	if (s->in_vain < CHANCES)
		s->in_vain++;
}

bool
share_is_deaf(const struct share *s, uint64_t turned_ms, uint64_t now_ms)
{
	return s->in_vain >= CHANCES && now_ms - s->judged_ms < DEAF_MS &&
	    turned_ms + LATE_MS < s->judged_ms;
}
