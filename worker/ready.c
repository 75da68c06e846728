#include "worker/ready.h"
#include "common/assert.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/request.h"

void
request_list_push(struct request_list *l, struct pf_request *r)
{
	r->next = NULL;
	*(l->last != NULL ? &l->last->next : &l->first) = r;
	l->last = r;
	l->n++;
}

struct pf_request *
request_list_pop(struct request_list *l)
{
	struct pf_request *r = l->first;

	if (r == NULL)
		return NULL;
	l->first = r->next;
	if (l->first == NULL)
		l->last = NULL;
	l->n--;
	return r;
}

void
ready_add(struct pf_request *r)
{
	struct worker *w = r->worker;

	r->conn->state = CONN_QUEUED;
	r->ready_ns = w->now_ns;
	request_list_push(&w->ready, r);
	if (w->queue.after_ns != 0)
		deadline_set(&r->deadline, &w->queue, w->now_ns);
}

struct pf_request *
ready_take(struct worker *w)
{
	struct pf_request *r = request_list_pop(&w->ready);

	pf_assert(r != NULL);
	deadline_clear(&r->deadline);
	acceptors_room(&w->acceptors);
	return r;
}

struct pf_request *
ready_next(struct worker *w)
{
	struct pf_request *r = ready_take(w);

	/* not worth a system call for one that came in this turn */
	if (r->conn != NULL && w->now_ns != r->ready_ns &&
	    conn_is_gone(r->conn))
		conn_close(r->conn);
	if (r->conn == NULL) { /* closed meanwhile */
		request_free(r);
		worker_maybe_finish(w);
		return NULL;
	}
	r->conn->state = CONN_RUNNING;
	return r;
}
