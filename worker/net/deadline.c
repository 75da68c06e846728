#include <stddef.h>

#include "common/clock.h"
#include "worker/net/deadline.h"

static void
timer_arm(struct deadlines *d, uint64_t at_ns)
{
	uint64_t now = clock_now_ns();
	double after = at_ns > now ? (double)(at_ns - now) / 1e9 : 0.;

	if (d->armed_for_ns != 0 && d->armed_for_ns <= at_ns)
		return; /* it will look in time, and arm itself again */
	d->armed_for_ns = at_ns;
	ev_timer_stop(d->loop, &d->timer);
	ev_timer_set(&d->timer, after, 0.);
	/* libev counts from the time it last looked, which may be a while */
	ev_now_update(d->loop);
	ev_timer_start(d->loop, &d->timer);
}

static void
list_arm(struct deadline_list *l)
{
	if (l->first != NULL && l->after_ns != 0)
		timer_arm(l->all, l->first->since_ns + l->after_ns);
}

static void
list_expire(struct deadline_list *l, uint64_t now)
{
	struct deadline *e;

	while ((e = l->first) != NULL && l->after_ns != 0 &&
	    e->since_ns + l->after_ns <= now) {
		deadline_clear(e);
		l->expired(e, l->arg);
	}
}

/* A loop that was held up (SIGSTOP, a frozen container) reads what came in time
 * before it judges: this turn may not have asked the sockets, when a signal
 * ended its wait; the next one does, and tells of them first. */
static void
on_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct deadlines *d = t->data;
	uint64_t now = clock_now_ns();

	(void)revents;
	d->is_due = !d->is_due;
	if (d->is_due) {
		ev_timer_set(t, 0., 0.);
		ev_timer_start(loop, t);
		return;
	}
	d->armed_for_ns = 0;
	for (struct deadline_list *l = d->lists; l != NULL; l = l->next_list)
		list_expire(l, now);
	for (struct deadline_list *l = d->lists; l != NULL; l = l->next_list)
		list_arm(l);
}

void
deadlines_init(struct deadlines *d, struct ev_loop *loop)
{
	*d = (struct deadlines){ .loop = loop };
	ev_timer_init(&d->timer, on_timer, 0., 0.);
	ev_set_priority(&d->timer, EV_MINPRI); /* behind the sockets */
	d->timer.data = d;
}

void
deadlines_stop(struct deadlines *d)
{
	ev_timer_stop(d->loop, &d->timer);
}

void
deadline_list_init(struct deadlines *d, struct deadline_list *l,
    uint64_t after_ns, deadline_fn *expired, void *arg)
{
	*l = (struct deadline_list){
		.after_ns = after_ns,
		.expired = expired,
		.arg = arg,
		.next_list = d->lists,
		.all = d,
	};
	d->lists = l;
}

void
deadline_clear(struct deadline *e)
{
	struct deadline_list *l = e->list;

	if (l == NULL)
		return;
	*(e->prev != NULL ? &e->prev->next : &l->first) = e->next;
	*(e->next != NULL ? &e->next->prev : &l->last) = e->prev;
	e->prev = e->next = NULL;
	e->list = NULL;
}

void
deadline_set(struct deadline *e, struct deadline_list *l, uint64_t since_ns)
{
	bool was_empty;

	deadline_clear(e);
	was_empty = l->first == NULL;
	e->list = l;
	e->since_ns = since_ns;
	e->prev = l->last;
	*(l->last != NULL ? &l->last->next : &l->first) = e;
	l->last = e;
	if (was_empty)
		list_arm(l);
}

void
deadline_list_set_after(struct deadline_list *l, uint64_t after_ns)
{
	l->after_ns = after_ns;
	list_arm(l);
}
