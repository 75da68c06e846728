#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "common/clock.h"
#include "common/heritage.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "conf/settings.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/fork_guard.h"
#include "worker/http/h1_conn.h"
#include "worker/net/per_ip.h"
#include "worker/request.h"

static void
on_io(struct ev_loop *loop, ev_io *io, int revents)
{
	struct conn *c = io->data;

	(void)loop;
	if ((revents & EV_WRITE) != 0)
		h1_writable(c); /* may close it: level-triggered, so a read
				   that is due comes again */
	else
		h1_readable(c);
}

void
conn_watch(struct conn *c, int events)
{
	struct ev_loop *loop = c->worker->loop;

	if (ev_is_active(&c->io) &&
	    (c->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(loop, &c->io);
	if (events == 0)
		return;
	ev_io_modify(&c->io, events);
	ev_io_start(loop, &c->io);
}

bool
conn_has_bytes(const struct conn *c)
{
	char byte;

	return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* What its kernel did not acknowledge; our FIN counts as a byte. */
bool
conn_is_taking(const struct conn *c)
{
	int n = 0;

	if (c->over_unix) /* what was sent is the client's at once */
		return false;
	(void)ioctl(c->fd, SIOCOUTQ, &n);
	return n > (c->state == CONN_LINGERING);
}

bool
conn_is_gone(const struct conn *c)
{
	struct pollfd p = { .fd = c->fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static void
count_changed(struct worker *w, int by)
{
	w->n_conns += (unsigned)by;
	SCORE_SET(w->score, connections, w->n_conns);
}

bool
conn_prepare(struct worker *w)
{
	if (w->spare_conn == NULL)
		w->spare_conn = calloc(1, sizeof *w->spare_conn);
	return w->spare_conn != NULL && request_prepare(w);
}

void
conn_open(struct worker *w, int fd, const struct sockaddr *sa,
    const struct heritage_listener *listener)
{
	struct peer peer;
	enum per_ip per_ip;
	bool trusted;
	struct conn *c;

	peer_set(&peer, sa);
	trusted = peer_is_trusted(&peer, &w->settings->proxy_trust);
	if (listener->proxied && !trusted) {
		h1_proxy_refused(w, &peer, listener,
		    "it is not in proxy.trust");
		fork_guard_close(&fd);
		return;
	}
	if (!conn_prepare(w)) {
		log_warn("connection refused");
		fork_guard_close(&fd);
		return;
	}
	per_ip = per_ip_take(w, &peer, trusted);
	if (per_ip == PER_IP_FULL) {
		per_ip_refuse(w, fd, &peer);
		fork_guard_close(&fd);
		return;
	}
	c = w->spare_conn;
	w->spare_conn = NULL;
	c->worker = w;
	c->fd = fd;
	c->id = ++w->next_conn_id;
	c->listener = listener;
	c->peer = peer;
	c->over_unix = peer.family == AF_UNIX;
	c->trusted = trusted;
	c->counted = per_ip == PER_IP_COUNTED;
	c->state = listener->proxied ? CONN_PROXY : CONN_IDLE;
	c->next = w->conns;
	if (c->next != NULL)
		c->next->prev = c;
	w->conns = c;
	count_changed(w, +1);
	SCORE_ADD(w->score, accepted, 1);
	ev_io_init(&c->io, on_io, fd, EV_READ);
	c->io.data = c;
	ev_io_start(w->loop, &c->io);
	/* a client that says nothing has the time of a head, not of a pause */
	deadline_set(&c->deadline, &w->header, w->now_ns);
}

void
conn_pass_over(struct conn *c)
{
	conn_watch(c, c->io.events & EV_WRITE);
	if (c->is_passed_over)
		return;
	c->is_passed_over = true;
	TAILQ_INSERT_TAIL(&c->worker->passed_over, c, passed_over);
}

static void
pass_over_no_more(struct conn *c)
{
	c->is_passed_over = false;
	TAILQ_REMOVE(&c->worker->passed_over, c, passed_over);
}

void
conn_has_its_turn(struct conn *c)
{
	if (!c->is_passed_over)
		return;
	pass_over_no_more(c);
	conn_watch(c, EV_READ | (c->io.events & EV_WRITE));
}

/* What becomes of its request depends on who has it. */
static void
request_drop(struct conn *c)
{
	struct pf_request *r = c->request;

	c->request = NULL;
	if (r == NULL)
		return;
	r->conn = NULL;
	switch ((enum conn_state)c->state) {
	case CONN_QUEUED:
	case CONN_RUNNING:
		(void)gate_abandon(&r->gate); /* freed when it is finished */
		SCORE_ADD(c->worker->score, abandoned, 1);
		break;
	case CONN_PROXY:
	case CONN_IDLE:
	case CONN_HEAD:
	case CONN_BODY:
	case CONN_FLUSHING:
	case CONN_DISCARDING:
	case CONN_LINGERING:
		if (atomic_load(&r->mail) != 0) /* freed when it arrives */
			mail_send(&c->worker->mailbox, r, MAIL_FINISHED);
		else
			request_free(r);
		break;
	}
}

void
conn_close(struct conn *c)
{
	struct worker *w = c->worker;

	request_drop(c);
	if (c->is_passed_over)
		pass_over_no_more(c);
	deadline_clear(&c->deadline);
	ev_io_stop(w->loop, &c->io);
	fork_guard_close(&c->fd);
	if (c->counted)
		per_ip_give(w, &c->peer);
	*(c->prev != NULL ? &c->prev->next : &w->conns) = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	free(c);
	count_changed(w, -1);
	acceptors_room(&w->acceptors);
	worker_maybe_finish(w);
}

void
conn_reset(struct conn *c)
{
	static const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	conn_close(c);
}

void
conn_linger(struct conn *c)
{
	struct worker *w = c->worker;
	bool all = c->eof && !conn_is_taking(c);

	request_drop(c);
	if (all || shutdown(c->fd, SHUT_WR) < 0) {
		conn_close(c);
		return;
	}
	c->state = CONN_LINGERING;
	c->linger_until_ns = w->now_ns + w->send.after_ns;
	conn_watch(c, c->eof ? 0 : EV_READ);
	deadline_set(&c->deadline, &w->linger, w->now_ns);
}

void
conn_end(struct conn *c)
{
	if (conn_is_taking(c))
		conn_linger(c);
	else
		conn_close(c);
}
