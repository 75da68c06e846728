/* PURE: the rules that bring what is nearer to what is wanted. */
#include "master/supervisor_state.h"
#include "worker/worker.h"

#define PROCESSES_SPARE 16u

static bool
has_process(const struct slot *w)
{
	return w->state != SLOT_EMPTY && w->state != SLOT_WAITING;
}

/* Is, or is to become again, a worker of its generation. */
static bool
counts(const struct slot *w)
{
	return w->state == SLOT_WAITING || w->state == SLOT_BOOTING ||
	    w->state == SLOT_FAILING || w->state == SLOT_READY;
}

struct census {
	unsigned counted, ready;
	bool recycling;
};

static struct census
take_census(const struct sup *s, unsigned generation)
{
	struct census c = { 0 };

	for (unsigned i = 0; i < s->n_used; i++) {
		const struct slot *w = &s->slot[i];

		if (w->generation != generation || !counts(w))
			continue;
		c.counted++;
		c.ready += w->state == SLOT_READY;
		c.recycling |= w->recycle;
	}
	return c;
}

/* How many workers the generation should have now. */
static unsigned
target(const struct sup *s, const struct generation *g, bool recycling)
{
	if (s->stopping || g->number == 0)
		return 0;
	if (g == &s->trial)
		return s->proven ? g->want : 1;
	if (s->paused)
		return 0;
	return g->want + recycling; /* the successor comes first */
}

void
sup_end_delay(struct sup *s, msec_t now)
{
	if (s->stop_at != 0 && now >= s->stop_at)
		s->stopping = true;
}

void
sup_end_overdue(struct sup *s, msec_t now)
{
	for (unsigned i = 0; i < s->n_used; i++) {
		struct slot *w = &s->slot[i];

		if (w->state == SLOT_RETIRING && now >= w->until) {
			w->state = SLOT_DYING;
			sup_plan_kill(s, i, WHY_GRACE_OVER);
		}
		if (w->state != SLOT_BOOTING || now < w->until)
			continue;
		w->state = SLOT_FAILING;
		sup_plan_kill(s, i, WHY_BOOT_TIMEOUT);
		if (w->generation == s->trial.number)
			sup_roll_back(s, WHY_BOOT_TIMEOUT, i, now);
		else if (!s->ever_ready)
			sup_give_up(s, WORKER_CANNOT_BOOT, now);
	}
}

/* Those that serve nobody go first: dropped is how many went. */
static unsigned
drop_state(struct sup *s, const struct generation *g, enum slot_state state,
    unsigned surplus, msec_t now)
{
	unsigned dropped = 0;

	for (unsigned i = s->n_used; i > 0 && dropped < surplus; i--) {
		struct slot *w = &s->slot[i - 1];

		if (w->generation != g->number || w->state != state)
			continue;
		sup_slot_dismiss(s, i - 1, now, WHY_UNWANTED);
		dropped++;
	}
	return dropped;
}

/* Retires ready workers that asked for it, or that did not. */
static unsigned
drop_ready(struct sup *s, const struct generation *g, unsigned surplus,
    bool asked, msec_t now)
{
	for (unsigned i = s->n_used; i > 0 && surplus > 0; i--) {
		const struct slot *w = &s->slot[i - 1];

		if (w->generation != g->number || w->state != SLOT_READY ||
		    w->recycle != asked)
			continue;
		sup_slot_dismiss(s, i - 1, now, WHY_UNWANTED);
		surplus--;
	}
	return surplus;
}

static void
drop_generation_surplus(struct sup *s, const struct generation *g, msec_t now)
{
	static const enum slot_state order[] = { SLOT_WAITING, SLOT_FAILING,
		SLOT_BOOTING };
	struct census c = take_census(s, g->number);
	unsigned aim = target(s, g, c.recycling), want = target(s, g, false);
	unsigned surplus;

	for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
		if (c.counted > aim)
			c.counted -=
			    drop_state(s, g, order[i], c.counted - aim, now);
	surplus = c.ready > want ? c.ready - want : 0;
	surplus = drop_ready(s, g, surplus, true, now);
	drop_ready(s, g, surplus, false, now);
}

void
sup_drop_surplus(struct sup *s, msec_t now)
{
	drop_generation_surplus(s, &s->serving, now);
	drop_generation_surplus(s, &s->trial, now);
}

/* Processes that may exist: those of two generations, as many retiring, and
 * some more. */
static unsigned
process_limit(const struct sup *s)
{
	unsigned want =
	    s->serving.want > s->trial.want ? s->serving.want : s->trial.want;
	unsigned limit = 3 * want + PROCESSES_SPARE;

	return limit < s->n_slots ? limit : s->n_slots;
}

static void
spawn(struct sup *s, unsigned i, const struct generation *g, msec_t now)
{
	struct slot *w = &s->slot[i];

	w->state = SLOT_BOOTING;
	w->generation = g->number;
	w->recycle = w->stalled = w->too_large = false;
	w->until = now + g->conf.boot_timeout;
	w->grace = g->conf.grace;
	if (i >= s->n_used)
		s->n_used = i + 1;
	sup_plan_add(s, ACT_SPAWN, i)->generation = g->number;
}

/* Brings back the workers whose backoff is over; the room that is left. */
static unsigned
spawn_waiting(struct sup *s, const struct generation *g, unsigned room,
    msec_t now)
{
	for (unsigned i = 0; i < s->n_used && room > 0; i++) {
		const struct slot *w = &s->slot[i];

		if (w->state != SLOT_WAITING || w->generation != g->number ||
		    now < w->until)
			continue;
		spawn(s, i, g, now);
		room--;
	}
	return room;
}

/* NULL, or one whose successor has still to inherit its backoff. */
static struct slot *
find_too_large(struct sup *s, const struct generation *g)
{
	for (unsigned i = 0; i < s->n_used; i++) {
		struct slot *w = &s->slot[i];

		if (w->too_large && has_process(w) &&
		    w->generation == g->number)
			return w;
	}
	return NULL;
}

/* The application may be larger than its limit from the start: a successor of
 * such a worker counts from now on, but comes when its backoff is over. */
static void
succeed(struct sup *s, unsigned i, struct slot *old, msec_t now)
{
	struct slot *w = &s->slot[i];

	old->too_large = false;
	w->generation = old->generation;
	w->crashes = old->crashes;
	sup_slot_back_off(w, now);
	if (i >= s->n_used)
		s->n_used = i + 1;
}

static unsigned
spawn_generation(struct sup *s, const struct generation *g, unsigned room,
    msec_t now)
{
	struct census c = take_census(s, g->number);
	unsigned aim = target(s, g, c.recycling);
	struct slot *old;

	room = spawn_waiting(s, g, room, now);
	for (unsigned i = 0; i < s->n_slots && room > 0 && c.counted < aim;
	     i++) {
		if (s->slot[i].state != SLOT_EMPTY)
			continue;
		c.counted++;
		old = find_too_large(s, g);
		if (old != NULL) {
			succeed(s, i, old, now);
			continue;
		}
		s->slot[i].crashes = 0;
		spawn(s, i, g, now);
		room--;
	}
	return room;
}

void
sup_spawn_missing(struct sup *s, msec_t now)
{
	unsigned alive = 0, limit = process_limit(s), room;

	if (s->stopping)
		return;
	for (unsigned i = 0; i < s->n_used; i++)
		alive += has_process(&s->slot[i]);
	room = alive < limit ? limit - alive : 0;
	room = spawn_generation(s, &s->serving, room, now);
	spawn_generation(s, &s->trial, room, now);
}

static bool
first_start_is_over(const struct sup *s)
{
	if (s->started || s->stopping ||
	    take_census(s, s->serving.number).ready == 0)
		return false;
	for (unsigned i = 0; i < s->n_used; i++)
		if (s->slot[i].state == SLOT_BOOTING)
			return false;
	return true;
}

/* The first generation has nothing to go back to: it is committed as soon as
 * one worker serves and each other had its chance. */
void
sup_commit_trial(struct sup *s)
{
	const struct generation *trial = &s->trial;

	if (trial->number == 0) {
		if (!first_start_is_over(s))
			return;
		s->started = true;
		sup_plan_add(s, ACT_COMMIT, 0)->generation = s->serving.number;
		return;
	}
	if (take_census(s, trial->number).ready < trial->want)
		return;
	s->serving = *trial;
	s->trial = (struct generation){ 0 };
	s->started = true;
	s->paused = false;
	sup_plan_add(s, ACT_COMMIT, 0)->generation = s->serving.number;
}

/* Workers of a generation that is neither serving nor on trial go; but those
 * that are ready stay while nobody else would serve. */
void
sup_retire_leftovers(struct sup *s, msec_t now)
{
	bool needed = !s->stopping && !s->paused &&
	    take_census(s, s->serving.number).ready == 0;

	for (unsigned i = 0; i < s->n_used; i++) {
		const struct slot *w = &s->slot[i];

		if (!counts(w) || w->generation == s->serving.number ||
		    w->generation == s->trial.number)
			continue;
		if (w->state != SLOT_READY || !needed)
			sup_slot_dismiss(s, i, now, WHY_UNWANTED);
	}
}

msec_t
sup_wake_at(const struct sup *s, msec_t now)
{
	msec_t at = s->stopping ? 0 : s->stop_at;

	for (unsigned i = 0; i < s->n_used; i++) {
		const struct slot *w = &s->slot[i];

		if (w->state != SLOT_WAITING && w->state != SLOT_BOOTING &&
		    w->state != SLOT_RETIRING)
			continue;
		if (w->state == SLOT_WAITING && w->until <= now)
			continue; /* it waits for room, which an exit makes */
		if (at == 0 || w->until < at)
			at = w->until;
	}
	return at;
}
