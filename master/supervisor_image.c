/* PURE: the supervisor's state as it goes from one program to its successor. */
#include <stdlib.h>

#include "master/state.h"
#include "master/supervisor_state.h"

#define MSEC_MAX (UINT64_MAX / 2)

static void
slot_image(struct slot *w, struct state *s)
{
	unsigned kind = w->state;

	state_unsigned(s, "slot.state", &kind, SLOT_DYING);
	w->state = (enum slot_state)kind;
	state_unsigned(s, "slot.generation", &w->generation, UINT32_MAX);
	state_unsigned(s, "slot.crashes", &w->crashes, 32);
	state_bool(s, "slot.recycle", &w->recycle);
	state_bool(s, "slot.stalled", &w->stalled);
	state_bool(s, "slot.too_large", &w->too_large);
	state_bounded(s, "slot.grace", &w->grace, MSEC_MAX);
	state_bounded(s, "slot.since", &w->since, MSEC_MAX);
	state_bounded(s, "slot.until", &w->until, MSEC_MAX);
}

static void
generation_image(struct generation *g, struct state *s)
{
	state_unsigned(s, "serving.number", &g->number, UINT32_MAX);
	state_unsigned(s, "serving.conf.want", &g->conf.want, SUP_WORKERS_MAX);
	state_bounded(s, "serving.boot_timeout", &g->conf.boot_timeout,
	    MSEC_MAX);
	state_bounded(s, "serving.grace", &g->conf.grace, MSEC_MAX);
	state_bounded(s, "serving.delay", &g->conf.delay, MSEC_MAX);
	state_unsigned(s, "serving.want", &g->want, SUP_WORKERS_MAX);
}

void
sup_image(struct sup *sup, struct state *s)
{
	generation_image(&sup->serving, s);
	state_bool(s, "started", &sup->started);
	state_bool(s, "ever_ready", &sup->ever_ready);
	state_bool(s, "paused", &sup->paused);
	state_unsigned(s, "slots", &sup->n_used, sup->n_slots);
	for (unsigned i = 0; i < sup->n_used; i++)
		slot_image(&sup->slot[i], s);
}
