#include "worker/ready.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/request.h"

void
ready_add(struct pf_request *r)
{
	struct worker *w = r->worker;
	struct ready_list *l = &w->ready;

	r->conn->state = CONN_QUEUED;
	r->ready_ns = w->now_ns;
	r->next = NULL;
	*(l->last != NULL ? &l->last->next : &l->first) = r;
	l->last = r;
	l->n++;
	if (w->queue.after_ns != 0)
		deadline_set(&r->deadline, &w->queue, w->now_ns);
}

struct pf_request *
ready_take(struct worker *w)
{
	struct ready_list *l = &w->ready;
	struct pf_request *r = l->first;

	l->first = r->next;
	if (l->first == NULL)
		l->last = NULL;
	l->n--;
	deadline_clear(&r->deadline);
	acceptors_room(&w->acceptors);
	return r;
}

struct pf_request *
ready_next(struct worker *w)
{
	struct pf_request *r = ready_take(w);

	if (r->conn == NULL) { /* closed meanwhile */
		request_free(r);
		worker_maybe_finish(w);
		return NULL;
	}
	r->conn->state = CONN_RUNNING;
	return r;
}
