#include <signal.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "master/master.h"
#include "master/stall.h"
#include "master/watch.h"

static void
look_at(struct master *m, struct child *c, msec_t now)
{
	struct sup_event ev = { .slot = c->slot };
	msec_t heartbeat =
	    SCORE_GET(&m->scoreboard->slot[c->slot], heartbeat_ms);

	switch (stall_judge(&c->stall, heartbeat, now, c->stall_timeout)) {
	case STALL_NOTHING: return;
	case STALL_POKE: child_tell(c, CHANNEL_PING, NULL, 0); return;
	case STALL_STALLED:
		log_errorx("worker %u (%d) stands still for %.1f s: it is "
			   "replaced, then killed",
		    c->slot, (int)c->pid, (double)(now - heartbeat) / 1000.0);
		child_signal(c, SIGUSR2); /* it says what it is at */
		ev.kind = SUP_STALLED;
		break;
	case STALL_REVIVED:
		log_warnx("worker %u (%d) moves again: it is replaced all the "
			  "same",
		    c->slot, (int)c->pid);
		ev.kind = SUP_REVIVED;
		break;
	}
	master_feed(m, &ev);
}

static bool
is_watched(const struct child *c)
{
	return c != NULL && c->ready && !c->leaving && c->stall_timeout > 0;
}

static void
set_timer(struct master *m, msec_t due, msec_t now)
{
	ev_timer_stop(m->loop, &m->watch);
	if (due == 0)
		return;
	ev_now_update(m->loop);
	ev_timer_set(&m->watch, due > now ? (double)(due - now) / 1000.0 : 0.0,
	    0.0);
	ev_timer_start(m->loop, &m->watch);
}

void
watch_look(struct master *m)
{
	msec_t now = clock_now_ns() / NS_PER_MS, due = 0;

	oom_look(&m->oom, oom_kills(), now); /* else it tells of long ago */
	for (unsigned i = 0; i < SUP_SLOTS_MAX; i++) {
		if (is_watched(m->child[i]))
			look_at(m, m->child[i], now);
		if (is_watched(m->child[i]) &&
		    (due == 0 || m->child[i]->stall.due < due))
			due = m->child[i]->stall.due;
	}
	set_timer(m, due, now);
}

bool
watch_sees_life(const struct master *m)
{
	for (unsigned i = 0; i < SUP_SLOTS_MAX; i++) {
		const struct child *c = m->child[i];

		if (c != NULL && c->ready && !c->leaving && !c->stall.stalled)
			return true;
	}
	return false;
}

static void
on_due(struct ev_loop *loop, ev_timer *t, int revents)
{
	(void)t;
	(void)revents;
	watch_look(ev_userdata(loop));
}

void
watch_init(struct master *m)
{
	ev_init(&m->watch, on_due);
}
