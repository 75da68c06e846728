#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/heritage.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "conf/settings.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/fork_guard.h"
#include "worker/net/accept.h"

#define BURST         16    /* connections a turn of the loop */
#define YIELD_S       0.002 /* a sibling's chance */
#define EXHAUSTED_S   0.5   /* until an fd may be free again */
#define LISTENER_TEXT 256

/* Idle for so long, a client is more likely gone than about to ask.  Some are
 * looked at: those whose next request is here are not idle. */
#define EVICT_NS    NS_PER_S
#define EVICT_TRIES 8

enum accept_verdict
accept_verdict(int err)
{
	switch (err) {
	case EINTR:
	case ECONNABORTED:
	case EPERM: /* a firewall said no */
	/* accept(2): errors of the new socket's network, already pending */
	case EPROTO:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH: return ACCEPT_AGAIN;
	case EAGAIN: return ACCEPT_DRAINED;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM: return ACCEPT_EXHAUSTED;
	default: return ACCEPT_BROKEN;
	}
}

static bool
is_full(const struct worker *w)
{
	return w->n_conns >= w->settings->connections;
}

/* The connection to close for a new one, or NULL. */
static struct conn *
idle_longest(const struct worker *w)
{
	struct deadline *d = w->keepalive.first;

	for (int i = 0; i < EVICT_TRIES && d != NULL; i++, d = d->next) {
		struct conn *c = conn_of(d);

		if (w->now_ns - d->since_ns < EVICT_NS)
			return NULL;
		if (!conn_has_bytes(c))
			return c;
	}
	return NULL;
}

static bool
has_room(const struct worker *w)
{
	return w->ready.n < w->settings->queue &&
	    (!is_full(w) || idle_longest(w) != NULL);
}

/* Where, once started, its state changes, for the loop and for others to see.
 * pause_s: 0 if it ends by what happens only. */
static void
enter(struct acceptors *a, enum acceptors_state state, double pause_s)
{
	struct ev_loop *loop = a->worker->loop;

	a->state = state;
	for (size_t i = 0; i < a->n; i++) {
		if (state == ACCEPTORS_WATCH && !a->at[i].broken)
			ev_io_start(loop, &a->at[i].io);
		else
			ev_io_stop(loop, &a->at[i].io);
	}
	ev_timer_stop(loop, &a->pause);
	if (pause_s > 0) {
		ev_timer_set(&a->pause, pause_s, 0.);
		ev_timer_start(loop, &a->pause);
	}
	/* a worker that yields takes some when the chance is over: whoever has
	 * more still does well to wait for it */
	SCORE_SET(a->worker->score, accepts,
	    !a->broken &&
		(state == ACCEPTORS_WATCH || state == ACCEPTORS_YIELD));
}

static bool
takes_more(const struct worker *w, const struct score_slot *s)
{
	return SCORE_GET(s, state) == SCORE_READY &&
	    SCORE_GET(s, accepts) != 0 &&
	    !share_is_deaf(&w->acceptors.share, SCORE_GET(s, heartbeat_ms),
		w->now_ns / NS_PER_MS);
}

/* The fewest connections that a sibling has who takes more; UINT_MAX: there is
 * none. */
static unsigned
least_of_siblings(const struct worker *w)
{
	const struct scoreboard *board = w->heritage->scoreboard;
	unsigned least = UINT_MAX;
	uint32_t n = scoreboard_used(board);

	for (uint32_t i = 0; i < n; i++) {
		const struct score_slot *s = &board->slot[i];
		unsigned open = SCORE_GET(s, connections);

		if (i != w->heritage->slot && open < least && takes_more(w, s))
			least = open;
	}
	return least;
}

/* Siblings have their chance. */
static void
yield(struct acceptors *a)
{
	enter(a, ACCEPTORS_YIELD, YIELD_S);
	SCORE_ADD(a->worker->score, yielded, 1);
}

/* They had it. */
static void
insist(struct acceptors *a)
{
	a->insists = false; /* on one, not on a burst */
	share_insist(&a->share, a->worker->now_ns / NS_PER_MS);
}

/* Full, and nobody idle long enough: looks again when the first is. */
static void
wait_for_room(struct acceptors *a)
{
	const struct worker *w = a->worker;
	const struct deadline *d = w->keepalive.first;
	uint64_t idle = d != NULL ? w->now_ns - d->since_ns : 0;

	if (!is_full(w) || w->ready.n >= w->settings->queue || d == NULL)
		enter(a, ACCEPTORS_AWAIT_ROOM, 0.);
	else
		enter(a, ACCEPTORS_AWAIT_IDLE,
		    idle < EVICT_NS ? (double)(EVICT_NS - idle) / 1e9 :
				      YIELD_S);
}

static void
on_pause_over(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct acceptors *a = t->data;

	(void)loop;
	(void)revents;
	a->insists = true;
	if (a->state == ACCEPTORS_YIELD)
		share_chance_over(&a->share, a->worker->now_ns / NS_PER_MS);
	if (has_room(a->worker))
		enter(a, ACCEPTORS_WATCH, 0.);
	else
		wait_for_room(a);
}

void
acceptors_idle(struct acceptors *a)
{
	if (a->state == ACCEPTORS_AWAIT_ROOM && is_full(a->worker))
		wait_for_room(a);
}

/* A sibling's chance is over as soon as this worker is no longer ahead: with
 * short connections that is much sooner than the timer.  So is a pause for lack
 * of fds: a connection that ended has left one. */
void
acceptors_room(struct acceptors *a)
{
	if (a->state == ACCEPTORS_NOT_YET || a->state == ACCEPTORS_WATCH ||
	    a->state == ACCEPTORS_CLOSED || !has_room(a->worker))
		return;
	if (a->state != ACCEPTORS_YIELD ||
	    !share_yields(a->worker->n_conns, least_of_siblings(a->worker)))
		enter(a, ACCEPTORS_WATCH, 0.);
}

/* Told at most once a pause, however often connections that end let it try
 * again. */
void
acceptors_exhausted(struct acceptors *a, const char *what)
{
	uint64_t now = a->worker->now_ns;

	if (a->exhausted_at_ns == 0 ||
	    now - a->exhausted_at_ns >= (uint64_t)(EXHAUSTED_S * 1e9)) {
		log_warn("%s; pausing", what);
		a->exhausted_at_ns = now;
	}
	if (a->state != ACCEPTORS_NOT_YET && a->state != ACCEPTORS_CLOSED)
		enter(a, ACCEPTORS_EXHAUSTED, EXHAUSTED_S);
}

static void
pause_exhausted(struct acceptors *a, const struct acceptor *from)
{
	char what[LISTENER_TEXT];

	snprintf(what, sizeof what, "cannot accept on %s",
	    from->listener->spec);
	acceptors_exhausted(a, what);
}

/* An application may have closed 0, 1 and 2: what it prints then is not for a
 * client.  -1 and errno. */
static int
not_standard(int fd)
{
	int moved;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	fd_close(&fd);
	return moved;
}

/* In the sandbox a worker that is not ours any more may still set it, on a
 * listener too, whose connections have it from then on: each close() would be a
 * reset, or would wait. */
static void
do_not_linger(int fd)
{
	static const struct linger off = { .l_onoff = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
}

/* false: no more from this listener now. */
static bool
accept_one(struct acceptors *a, struct acceptor *from)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t n = sizeof sa;
	int fd;

	if (!conn_prepare(a->worker)) { /* a sibling may have the memory */
		pause_exhausted(a, from);
		return false;
	}
	fork_guard_begin();
	fd = not_standard(accept4(from->io.fd, (struct sockaddr *)&sa, &n,
	    SOCK_NONBLOCK | SOCK_CLOEXEC));
	fork_guard_add(fd);
	fork_guard_end();
	if (fd >= 0) {
		if (a->worker->settings->sandbox)
			do_not_linger(fd);
		conn_open(a->worker, fd, (struct sockaddr *)&sa,
		    from->listener); /* owns fd from here */
		return true;
	}
	switch (accept_verdict(errno)) {
	case ACCEPT_AGAIN: return true;
	case ACCEPT_DRAINED: return false;
	case ACCEPT_EXHAUSTED: pause_exhausted(a, from); return false;
	case ACCEPT_BROKEN: break;
	}
	log_error("accept on %s", from->listener->spec);
	from->broken = a->broken = true;
	enter(a, a->state, 0.); /* without it */
	worker_recycle(a->worker, CHANNEL_RECYCLE, "listener %s is broken",
	    from->listener->spec);
	return false;
}

/* A sibling's place is cheaper than that of an idle connection. */
static bool
yields(const struct worker *w, unsigned least)
{
	return share_yields(w->n_conns, least) ||
	    (is_full(w) && least < w->settings->connections);
}

static void
evict(struct worker *w)
{
	struct conn *c = idle_longest(w);

	if (c == NULL)
		return;
	SCORE_ADD(w->score, evicted, 1);
	conn_close(c);
}

static void
on_acceptable(struct ev_loop *loop, ev_io *io, int revents)
{
	struct acceptor *from = io->data;
	struct acceptors *a = from->all;
	struct worker *w = a->worker;
	unsigned least = least_of_siblings(w);

	(void)loop;
	(void)revents;
	for (unsigned n = 0; n < BURST; n++) {
		if (!has_room(w)) {
			wait_for_room(a);
			return;
		}
		if (yields(w, least)) {
			if (!a->insists) {
				yield(a);
				return;
			}
			insist(a);
		}
		if (!accept_one(a, from))
			break;
		if (w->n_conns > w->settings->connections)
			evict(w);
	}
	a->insists = false;
}

int
acceptors_start(struct acceptors *a)
{
	const struct worker *w = a->worker;
	const struct heritage *h = w->heritage;

	a->n = h->n_listeners;
	ev_timer_init(&a->pause, on_pause_over, 0., 0.);
	a->pause.data = a;
	a->at = calloc(a->n + 1, sizeof *a->at);
	if (a->at == NULL)
		return -1;
	for (size_t i = 0; i < a->n; i++) {
		struct acceptor *from = &a->at[i];

		from->all = a;
		from->listener = &h->listeners[i];
		if (!from->listener->listens &&
		    listen(from->listener->fd, (int)w->settings->backlog) < 0)
			return -1;
		ev_io_init(&from->io, on_acceptable, from->listener->fd,
		    EV_READ);
		from->io.data = from;
	}
	enter(a, ACCEPTORS_WATCH, 0.);
	return 0;
}

/* The socket lives on in the master, and with it our place in epoll's set: the
 * number must not become that of another file while libev may still hear of
 * it. */
static void
listener_leave(int fd)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || dup3(null, fd, O_CLOEXEC) < 0)
		fork_guard_close(&fd);
	fd_close(&null);
}

void
acceptors_close(struct acceptors *a)
{
	if (a->state == ACCEPTORS_CLOSED)
		return;
	if (a->state == ACCEPTORS_NOT_YET) {
		a->state = ACCEPTORS_CLOSED;
		return;
	}
	enter(a, ACCEPTORS_CLOSED, 0.);
	for (size_t i = 0; i < a->n; i++) {
		/* the kernel's queue holds one more than it was told */
		for (unsigned n = 0; n <= a->worker->settings->backlog; n++)
			if (!accept_one(a, &a->at[i]))
				break;
		listener_leave(a->at[i].listener->fd);
	}
}

void
acceptors_free(struct acceptors *a)
{
	free(a->at);
	a->at = NULL;
}
