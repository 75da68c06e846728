/* Requests whose turn will come, first in, first out.  Guarded by the baton. */
#ifndef WORKER_READY_H
#define WORKER_READY_H

struct pf_request;
struct worker;

struct request_list {
	struct pf_request *first, *last;
	unsigned n;
};

void request_list_push(struct request_list *, struct pf_request *);
struct pf_request *request_list_pop(struct request_list *); /* or NULL */

/* All a handler needs of it is here; queue_timeout begins. */
void ready_add(struct pf_request *);
/* The first one, whatever became of its client; there is one. */
struct pf_request *ready_take(struct worker *);
/* The first one, to be run; NULL: its connection was closed meanwhile. */
struct pf_request *ready_next(struct worker *);

#endif
