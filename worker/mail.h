/*
 * Handlers to the loop: requests that want the loop's attention, from any
 * thread.  The one place where libev is touched without the baton
 * (ev_async_send).
 */
#ifndef WORKER_MAIL_H
#define WORKER_MAIL_H

#include <pthread.h>

#include <ev.h>

struct pf_request;

/* The mail is a set of MAIL_* bits.  Runs in the loop. */
typedef void mail_fn(struct pf_request *, unsigned mail);

struct mailbox {
	pthread_mutex_t lock;
	struct pf_request *first, **last;
	struct ev_loop *loop;
	ev_async wakeup;
	mail_fn *deliver;
};

void mailbox_init(struct mailbox *, struct ev_loop *, mail_fn *);
void mailbox_stop(struct mailbox *); /* also if it never began */

/* Any thread.  With MAIL_FINISHED the request is the loop's from here. */
void mail_send(struct mailbox *, struct pf_request *, unsigned mail);

/* Any thread: turn the loop once. */
void mail_wake(struct mailbox *);

#endif
