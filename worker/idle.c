#include <malloc.h>

#include "common/scoreboard.h"
#include "worker/core.h"
#include "worker/idle.h"
#include "worker/request.h"

#define IDLE_S 2.0 /* without a request, at least */

static void
on_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct worker *w = t->data;
	uint64_t served = SCORE_GET(w->score, requests);

	(void)revents;
	if (w->n_requests > 0 || served != w->idle.served) {
		w->idle.served = served;
		return;
	}
	ev_timer_stop(loop, t);
	requests_trim(w);
	malloc_trim(0);
}

void
idle_init(struct idle *i, struct worker *w)
{
	*i = (struct idle){ 0 };
	ev_timer_init(&i->timer, on_timer, IDLE_S, IDLE_S);
	i->timer.data = w;
}

void
idle_over(struct worker *w)
{
	if (!ev_is_active(&w->idle.timer))
		ev_timer_again(w->loop, &w->idle.timer);
}
