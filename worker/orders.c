/* What the master says and is told; how a worker retires. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/heritage.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "common/title.h"
#include "conf/settings.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/orders.h"
#include "worker/worker.h"

/* Connections that only wait end this long before the master would kill. */
#define BEFORE_KILL_NS (1 * NS_PER_S)

/* ---- retiring ---------------------------------------------------------- */

void
worker_show(struct worker *w, enum score_state state, const char *name)
{
	SCORE_SET(w->score, state, state);
	title_set("worker %u gen %u %s", w->heritage->slot,
	    w->heritage->generation, name);
}

void
worker_maybe_finish(struct worker *w)
{
	/* not for a stuck handler: nobody waits for its answer any more, and
	 * if it can be interrupted it had its time to clean up */
	if (w->acceptors.state == ACCEPTORS_CLOSED && w->n_conns == 0 &&
	    w->n_requests <= w->n_stuck)
		w->finished = true;
}

static void
wait_at_most(struct deadline_list *l, uint64_t ns)
{
	if (l->after_ns > ns)
		deadline_list_set_after(l, ns);
}

/* Then the master would kill. */
static void
leave_within(struct worker *w, uint64_t grace_ns)
{
	uint64_t most = grace_ns > 2 * BEFORE_KILL_NS ?
	    grace_ns - BEFORE_KILL_NS :
	    grace_ns / 2;
	uint64_t by_ns = clock_now_ns() + most;

	if (w->retire_by_ns > by_ns)
		w->retire_by_ns = by_ns;
	wait_at_most(&w->keepalive, most);
	wait_at_most(&w->linger, most);
	wait_at_most(&w->interrupted, most);
}

/* Drain: what the kernel holds is accepted, every response closes its
 * connection, an idle one has one more request or its time. */
static void
worker_retire(struct worker *w)
{
	if (w->retiring)
		return;
	w->retiring = true;
	limits_stop(&w->limits, w);
	worker_show(w, SCORE_RETIRING, "retiring");
	acceptors_close(&w->acceptors);
	if (channel_send(w->heritage->channel_fd, CHANNEL_CLOSED, "", NULL, 0) <
		0 &&
	    errno != EPIPE && errno != ECONNRESET)
		log_warn("cannot tell the master that no more is accepted");
	leave_within(w, w->settings->graceful_timeout_ms * NS_PER_MS);
	worker_maybe_finish(w);
}

static void
close_idle(struct worker *w)
{
	struct conn *c, *next;

	for (c = w->conns; c != NULL; c = next) {
		next = c->next;
		if ((c->state == CONN_IDLE || c->state == CONN_PROXY) &&
		    c->request == NULL && !conn_has_bytes(c))
			conn_end(c);
	}
}

/* The new file takes the place of the old under the same number, so that no
 * thread ever writes to a closed one. */
static void
log_fd_replace(int *from, int to)
{
	if (*from < 0)
		return;
	if (to >= 0 && dup3(*from, to, to > 2 ? O_CLOEXEC : 0) < 0)
		log_error("cannot reopen log");
	close(*from);
	*from = -1;
}

void
orders_reopen_logs(struct channel_message *m, int access_log_fd)
{
	log_fd_replace(&m->fd[0], log_fd());
	dup2(log_fd(), STDOUT_FILENO);
	dup2(log_fd(), STDERR_FILENO);
	log_fd_replace(&m->fd[1], access_log_fd);
}

/* ---- what it says ------------------------------------------------------ */

static void
on_message(void *worker, struct channel_message *m)
{
	struct worker *w = worker;

	switch (m->kind) {
	case CHANNEL_RETIRE: worker_retire(w); return;
	case CHANNEL_QUIT:
		worker_retire(w);
		leave_within(w, WORKER_QUIT_MS * NS_PER_MS);
		close_idle(w);
		return;
	case CHANNEL_REOPEN:
		access_log_flush(&w->access_log);
		orders_reopen_logs(m, w->access_log.fd);
		return;
	case CHANNEL_PING: return; /* that the loop turned was the answer */
	case CHANNEL_READY:
	case CHANNEL_FAILED:
	case CHANNEL_RECYCLE:
	case CHANNEL_TOO_LARGE:
	case CHANNEL_RECYCLE_NOW:
	case CHANNEL_FORK:
	case CHANNEL_GO:
	case CHANNEL_FORKED:
	case CHANNEL_NOT_FORKED:
	case CHANNEL_CLOSED:
	case CHANNEL_KIND_END: break;
	}
	log_warnx("unexpected message %d from the master", (int)m->kind);
}

static void
on_orphan_late(struct ev_loop *loop, ev_timer *t, int revents)
{
	(void)loop;
	(void)t;
	(void)revents;
	log_warnx("the master is gone and graceful_timeout is over: exit");
	_exit(WORKER_OK);
}

/* Nobody is left to kill us when our time is over. */
static void
on_master_gone(struct worker *w)
{
	double grace = (double)w->settings->graceful_timeout_ms / 1e3;

	log_warnx("the master is gone: draining");
	ev_io_stop(w->loop, &w->channel);
	ev_timer_init(&w->orphan, on_orphan_late, grace, 0.);
	ev_timer_start(w->loop, &w->orphan);
	worker_retire(w);
}

static void
on_channel(struct ev_loop *loop, ev_io *io, int revents)
{
	struct worker *w = io->data;

	(void)loop;
	(void)revents;
	if (channel_hear(&io->fd, on_message, w) <= 0)
		on_master_gone(w);
}

/* ---- what it is told --------------------------------------------------- */

static void LOG_FORMAT(3, 0)
    tell(struct worker *w, enum channel_kind kind, const char *fmt, va_list ap)
{
	char text[CHANNEL_TEXT_MAX];

	vsnprintf(text, sizeof text, fmt, ap);
	if (channel_send(w->heritage->channel_fd, kind, text, NULL, 0) < 0)
		log_warn("cannot tell the master: %s", text);
}

void
worker_recycle(struct worker *w, enum channel_kind how, const char *fmt, ...)
{
	va_list ap;

	if (how <= w->asked)
		return;
	w->asked = how;
	va_start(ap, fmt);
	tell(w, how, fmt, ap);
	va_end(ap);
}

void
worker_refuse(struct worker *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(w, CHANNEL_FAILED, fmt, ap);
	va_end(ap);
	w->status = WORKER_CANNOT_BOOT;
	w->finished = true;
}

void
orders_start(struct worker *w)
{
	ev_io_init(&w->channel, on_channel, w->heritage->channel_fd, EV_READ);
	w->channel.data = w;
	ev_io_start(w->loop, &w->channel);
}
