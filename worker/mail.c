#include <stdatomic.h>
#include <stddef.h>

#include "worker/mail.h"
#include "worker/request.h"

static void
on_wakeup(struct ev_loop *loop, ev_async *w, int revents)
{
	struct mailbox *m = w->data;
	struct pf_request *r, *next;

	(void)loop;
	(void)revents;
	pthread_mutex_lock(&m->lock);
	r = m->first;
	m->first = NULL;
	m->last = &m->first;
	pthread_mutex_unlock(&m->lock);
	for (; r != NULL; r = next) {
		next = r->next_mail;
		/* from here it may be linked anew */
		m->deliver(r, atomic_exchange(&r->mail, 0));
	}
}

void
mailbox_init(struct mailbox *m, struct ev_loop *loop, mail_fn *deliver)
{
	*m = (struct mailbox){ .loop = loop, .deliver = deliver };
	pthread_mutex_init(&m->lock, NULL);
	m->last = &m->first;
	ev_async_init(&m->wakeup, on_wakeup);
	m->wakeup.data = m;
	ev_async_start(loop, &m->wakeup);
}

void
mailbox_stop(struct mailbox *m)
{
	if (m->loop == NULL)
		return;
	ev_async_stop(m->loop, &m->wakeup);
	pthread_mutex_destroy(&m->lock);
}

void
mail_send(struct mailbox *m, struct pf_request *r, unsigned mail)
{
	/* linked already: on_wakeup has not fetched these bits yet */
	if (atomic_fetch_or(&r->mail, mail) == 0) {
		pthread_mutex_lock(&m->lock);
		r->next_mail = NULL;
		*m->last = r;
		m->last = &r->next_mail;
		pthread_mutex_unlock(&m->lock);
	}
	ev_async_send(m->loop, &m->wakeup);
}

void
mail_wake(struct mailbox *m)
{
	ev_async_send(m->loop, &m->wakeup);
}
