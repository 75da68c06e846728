/* PURE: what an event means; supervisor_rules.c has what follows from it. */
#include <stdlib.h>

#include "common/assert.h"
#include "master/supervisor_state.h"
#include "worker/worker.h"

#define BACKOFF_FIRST 100   /* ms */
#define BACKOFF_MAX   30000 /* ms */
#define FORGIVE_AFTER 10000 /* ms of service that make up for one crash */

/* A slot may be retired, killed and filled in one step; the plan as a whole
 * may roll back, commit, reopen and exit. */
#define ACTIONS_PER_SLOT 4u
#define ACTIONS_OTHER    8u

struct sup *
sup_new(unsigned n_slots)
{
	struct sup *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->n_slots = n_slots;
	s->max_act = ACTIONS_PER_SLOT * (size_t)n_slots + ACTIONS_OTHER;
	s->slot = calloc(n_slots, sizeof *s->slot);
	s->act = calloc(s->max_act, sizeof *s->act);
	if (s->slot == NULL || s->act == NULL)
		sup_free(&s);
	return s;
}

void
sup_free(struct sup **sp)
{
	struct sup *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	free(s->slot);
	free(s->act);
	free(s);
}

struct sup_action *
sup_plan_add(struct sup *s, enum sup_action_kind kind, unsigned slot)
{
	struct sup_action *a = &s->act[s->n_act];

	pf_assert(s->n_act < s->max_act);
	s->n_act++;
	*a = (struct sup_action){ .kind = kind, .slot = slot };
	return a;
}

void
sup_plan_kill(struct sup *s, unsigned slot, enum sup_why why)
{
	sup_plan_add(s, ACT_KILL, slot)->why = why;
}

void
sup_slot_dismiss(struct sup *s, unsigned slot, msec_t now, enum sup_why why)
{
	struct slot *w = &s->slot[slot];

	switch (w->state) {
	case SLOT_EMPTY:
	case SLOT_RETIRING:
	case SLOT_DYING: break;
	case SLOT_WAITING: w->state = SLOT_EMPTY; break;
	case SLOT_BOOTING:
		sup_plan_kill(s, slot, why);
		__attribute__((fallthrough));
	case SLOT_FAILING: w->state = SLOT_DYING; break;
	case SLOT_READY:
		if (w->stalled) {
			w->state = SLOT_DYING;
			sup_plan_kill(s, slot, WHY_STALLED);
			break;
		}
		w->state = SLOT_RETIRING;
		w->until = now + w->grace;
		sup_plan_add(s, ACT_RETIRE, slot);
		break;
	}
}

void
sup_slot_back_off(struct slot *w, msec_t now)
{
	msec_t wait = (msec_t)BACKOFF_FIRST << w->crashes;

	if (wait < BACKOFF_MAX)
		w->crashes++;
	else
		wait = BACKOFF_MAX;
	w->state = SLOT_WAITING;
	w->recycle = w->stalled = w->too_large = false;
	w->until = now + wait;
}

/* Its ready workers are not cut off: sup_retire_leftovers() sees to them. */
void
sup_roll_back(struct sup *s, enum sup_why why, unsigned slot, msec_t now)
{
	unsigned generation = s->trial.number;
	struct sup_action *a;

	if (generation == 0)
		return;
	s->trial = (struct generation){ 0 };
	a = sup_plan_add(s, ACT_ROLLBACK, slot);
	a->generation = generation;
	a->why = why;
	for (unsigned i = 0; i < s->n_used; i++)
		if (s->slot[i].generation == generation &&
		    s->slot[i].state != SLOT_READY)
			sup_slot_dismiss(s, i, now, WHY_UNWANTED);
}

void
sup_give_up(struct sup *s, int status, msec_t now)
{
	sup_roll_back(s, WHY_STOPPING, 0, now);
	s->stopping = true;
	s->status = status;
}

static void
on_reload(struct sup *s, const struct sup_event *ev, msec_t now)
{
	struct sup_action *a;

	if (s->stopping || s->stop_at != 0) {
		a = sup_plan_add(s, ACT_ROLLBACK, 0);
		a->generation = ev->generation;
		a->why = WHY_STOPPING;
		return;
	}
	sup_roll_back(s, WHY_SUPERSEDED, 0, now);
	s->proven = false;
	s->trial = (struct generation){ .number = ev->generation,
		.conf = ev->conf,
		.want = ev->conf.want };
	/* What SUP_MORE and its like did stays until the setting changes. */
	if (ev->conf.want == s->serving.conf.want)
		s->trial.want = s->serving.want;
}

static void
on_ready(struct sup *s, const struct sup_event *ev, msec_t now)
{
	struct slot *w = &s->slot[ev->slot];

	if (w->state != SLOT_BOOTING)
		return; /* too late: it is being killed */
	w->state = SLOT_READY;
	w->since = now;
	s->ever_ready = true;
	if (w->generation == s->trial.number)
		s->proven = true;
}

/* Crashes right after being ready count like those before it. */
static void
forgive(struct slot *w, msec_t now)
{
	msec_t served = w->state == SLOT_READY ? now - w->since : 0;
	msec_t forgiven = served / FORGIVE_AFTER;

	w->crashes -= forgiven < w->crashes ? (unsigned)forgiven : w->crashes;
}

/* Its process is gone, or there never was one. */
static void
on_gone(struct sup *s, const struct sup_event *ev, msec_t now)
{
	struct slot *w = &s->slot[ev->slot];
	bool spawned = ev->kind == SUP_EXITED;
	enum slot_state was = w->state;

	if (was == SLOT_EMPTY || was == SLOT_WAITING)
		return;
	forgive(w, now);
	w->state = SLOT_EMPTY;
	if (was == SLOT_RETIRING || was == SLOT_DYING)
		return;
	if (w->generation == s->trial.number)
		sup_roll_back(s, spawned ? WHY_EXITED : WHY_NO_PROCESS,
		    ev->slot, now);
	else if (spawned && !s->ever_ready)
		sup_give_up(s,
		    ev->fate == FATE_CANNOT_LOAD ? WORKER_CANNOT_LOAD :
						   WORKER_CANNOT_BOOT,
		    now);
	else if (w->generation == s->serving.number)
		sup_slot_back_off(w, now);
}

static void
more(struct generation *g)
{
	g->want += g->number != 0 && g->want < SUP_WORKERS_MAX;
}

static void
fewer(struct generation *g)
{
	g->want -= g->want > 1;
}

static void
scale(struct generation *g, unsigned want)
{
	if (g->number != 0)
		g->want = want;
}

static void
abort_slot(struct sup *s, unsigned slot, msec_t now)
{
	struct slot *w = &s->slot[slot];

	if (w->state != SLOT_READY && w->state != SLOT_RETIRING) {
		sup_slot_dismiss(s, slot, now, WHY_STOPPING);
		return;
	}
	if (w->state == SLOT_READY || w->until > now + WORKER_QUIT_MS)
		w->until = now + WORKER_QUIT_MS;
	if (s->aborting)
		w->until = now; /* sup_end_overdue() kills it in this step */
	else
		sup_plan_add(s, ACT_QUIT, slot);
	w->state = SLOT_RETIRING;
}

static void
on_abort(struct sup *s, msec_t now)
{
	sup_roll_back(s, WHY_STOPPING, 0, now);
	for (unsigned i = 0; i < s->n_used; i++)
		abort_slot(s, i, now);
	s->stopping = true;
	s->aborting = true;
}

/* The delay is for clients: where nobody is served, there is none. */
static void
on_drain(struct sup *s, msec_t now)
{
	if (s->stopping || s->stop_at != 0) {
		on_abort(s, now);
		return;
	}
	sup_roll_back(s, WHY_STOPPING, 0, now);
	if (s->serving.conf.delay > 0 && sup_count(s).ready > 0)
		s->stop_at = now + s->serving.conf.delay;
	else
		s->stopping = true;
}

static bool
serves_alone(const struct sup *s, unsigned slot)
{
	for (unsigned i = 0; i < s->n_used; i++)
		if (i != slot && s->slot[i].state == SLOT_READY &&
		    !s->slot[i].stalled)
			return false;
	return true;
}

static void
on_recycle(struct sup *s, const struct sup_event *ev, msec_t now)
{
	struct slot *w = &s->slot[ev->slot];

	if (w->state != SLOT_READY)
		return;
	if (!w->recycle &&
	    (ev->kind == SUP_TOO_LARGE || ev->kind == SUP_RECYCLE_NOW)) {
		forgive(w, now);
		w->too_large = true;
	}
	if (ev->kind == SUP_RECYCLE_NOW && !serves_alone(s, ev->slot)) {
		sup_slot_dismiss(s, ev->slot, now, WHY_UNWANTED);
		return;
	}
	w->recycle = true;
	w->stalled |= ev->kind == SUP_STALLED;
}

static void
note(struct sup *s, const struct sup_event *ev, msec_t now)
{
	switch (ev->kind) {
	case SUP_START:
		s->serving = (struct generation){ .number = ev->generation,
			.conf = ev->conf,
			.want = ev->conf.want };
		break;
	case SUP_TICK:
	case SUP_UPGRADE: break;
	case SUP_READY: on_ready(s, ev, now); break;
	case SUP_EXITED:
	case SUP_SPAWN_FAILED: on_gone(s, ev, now); break;
	case SUP_RECYCLE:
	case SUP_TOO_LARGE:
	case SUP_RECYCLE_NOW:
	case SUP_STALLED: on_recycle(s, ev, now); break;
	case SUP_REVIVED: s->slot[ev->slot].stalled = false; break;
	case SUP_RELOAD: on_reload(s, ev, now); break;
	case SUP_MORE:
		more(&s->serving);
		more(&s->trial);
		break;
	case SUP_FEWER:
		fewer(&s->serving);
		fewer(&s->trial);
		break;
	case SUP_SCALE:
		pf_assert(ev->conf.want - 1 < SUP_WORKERS_MAX);
		scale(&s->serving, ev->conf.want);
		scale(&s->trial, ev->conf.want);
		break;
	case SUP_PAUSE:
		sup_roll_back(s, WHY_STOPPING, 0, now);
		s->paused = true;
		break;
	case SUP_REOPEN: sup_plan_add(s, ACT_REOPEN, 0); break;
	case SUP_DRAIN: on_drain(s, now); break;
	case SUP_ABORT: on_abort(s, now); break;
	}
}

struct sup_counts
sup_count(const struct sup *s)
{
	struct sup_counts c = { .want = s->serving.want,
		.generation = s->serving.number,
		.on_trial = s->trial.number != 0,
		.paused = s->paused,
		.leaving = s->stop_at != 0 && !s->stopping,
		.stopping = s->stopping };

	for (unsigned i = 0; i < s->n_used; i++) {
		c.ready += s->slot[i].state == SLOT_READY;
		c.alive += s->slot[i].state != SLOT_EMPTY &&
		    s->slot[i].state != SLOT_WAITING;
	}
	return c;
}

msec_t
sup_wait(const struct sup *s, unsigned slot, msec_t now)
{
	const struct slot *w = &s->slot[slot];

	return w->state == SLOT_WAITING && w->until > now ? w->until - now : 0;
}

struct sup_plan
sup_step(struct sup *s, const struct sup_event *ev, msec_t now)
{
	pf_assert(ev->slot < s->n_slots);
	s->n_act = 0;
	note(s, ev, now);
	sup_end_delay(s, now);
	/* a READY may lie beside this event: the tick comes after it */
	if (ev->kind == SUP_TICK || s->aborting)
		sup_end_overdue(s, now);
	sup_drop_surplus(s, now);
	sup_commit_trial(s);
	sup_retire_leftovers(s, now);
	sup_spawn_missing(s, now);
	while (s->n_used > 0 && s->slot[s->n_used - 1].state == SLOT_EMPTY)
		s->n_used--;
	if (s->stopping && sup_count(s).alive == 0)
		sup_plan_add(s, ACT_EXIT, 0)->status = s->status;
	return (struct sup_plan){ .act = s->act,
		.n = s->n_act,
		.wake_at = sup_wake_at(s, now) };
}
