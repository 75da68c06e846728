#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
#include "worker/http/h1_conn.h"
#include "worker/request.h"
#include "worker/worker.h"

#define LINGER_NS (2 * NS_PER_S)
/* Idle connections end this long before the master would kill. */
#define BEFORE_KILL_NS (1 * NS_PER_S)

/* ---- what the master says ---------------------------------------------- */

static void
state_show(struct worker *w, enum score_state state, const char *name)
{
	SCORE_SET(w->score, state, state);
	title_set("worker %u gen %u %s", w->heritage->slot,
	    w->heritage->generation, name);
}

void
worker_maybe_finish(struct worker *w)
{
	/* a stuck handler is not waited for: its client was answered */
	if (w->acceptors.closed && w->n_conns == 0 &&
	    w->n_requests <= w->n_stuck)
		w->finished = true;
}

/* Drain: what the kernel holds is accepted, every response closes its
 * connection, an idle one has one more request or its time. */
static void
worker_retire(struct worker *w)
{
	uint64_t grace = w->settings->graceful_timeout_ms * NS_PER_MS;
	uint64_t idle = w->keepalive.after_ns;

	if (w->retiring)
		return;
	w->retiring = true;
	limits_stop(&w->limits, w);
	state_show(w, SCORE_RETIRING, "retiring");
	acceptors_close(&w->acceptors);
	if (grace > 2 * BEFORE_KILL_NS && idle > grace - BEFORE_KILL_NS)
		idle = grace - BEFORE_KILL_NS;
	else if (idle > grace / 2)
		idle = grace / 2;
	deadline_list_set_after(&w->keepalive, idle);
	worker_maybe_finish(w);
}

static void
close_idle(struct worker *w)
{
	struct conn *c, *next;

	for (c = w->conns; c != NULL; c = next) {
		next = c->next;
		if (c->state == CONN_IDLE && !conn_has_bytes(c))
			conn_close(c);
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

static void
on_message(struct worker *w, struct channel_message *m)
{
	switch (m->kind) {
	case CHANNEL_RETIRE: worker_retire(w); return;
	case CHANNEL_QUIT:
		worker_retire(w);
		close_idle(w);
		return;
	case CHANNEL_REOPEN:
		log_fd_replace(&m->fd[0], log_fd());
		access_log_flush(&w->access_log);
		log_fd_replace(&m->fd[1], w->access_log.fd);
		return;
	case CHANNEL_PING: return; /* that the loop turned was the answer */
	case CHANNEL_READY:
	case CHANNEL_FAILED:
	case CHANNEL_RECYCLE:
	case CHANNEL_RECYCLE_NOW: break;
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
	struct channel_message m;
	int n;

	(void)loop;
	(void)revents;
	while ((n = channel_receive(io->fd, &m)) > 0)
		on_message(w, &m);
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		on_master_gone(w);
}

static void LOG_FORMAT(3, 0)
    tell(struct worker *w, enum channel_kind kind, const char *fmt, va_list ap)
{
	char text[CHANNEL_TEXT_MAX];

	vsnprintf(text, sizeof text, fmt, ap);
	if (channel_send(w->heritage->channel_fd, kind, text, NULL, 0) < 0)
		log_warn("cannot tell the master: %s", text);
}

void
worker_recycle(struct worker *w, const char *fmt, ...)
{
	va_list ap;

	if (w->recycle_asked)
		return;
	w->recycle_asked = true;
	va_start(ap, fmt);
	tell(w, CHANNEL_RECYCLE, fmt, ap);
	va_end(ap);
}

void
worker_recycle_now(struct worker *w, const char *fmt, ...)
{
	va_list ap;

	if (w->recycle_now_asked)
		return;
	w->recycle_asked = w->recycle_now_asked = true;
	va_start(ap, fmt);
	tell(w, CHANNEL_RECYCLE_NOW, fmt, ap);
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

/* ---- boot -------------------------------------------------------------- */

/* Workers are told what to do through the channel.  A signal sent to the whole
 * process group (^C in a terminal, a supervisor's stop) is the master's.  Not
 * SIG_IGN, which programs started by handlers would inherit. */
static void
on_signal(int signo)
{
	(void)signo;
}

static void
signals_disregard(void)
{
	static const int list[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1,
		SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH, SIGPIPE, SIGXFSZ };
	struct sigaction sa = { .sa_handler = on_signal,
		.sa_flags = SA_RESTART };

	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
		sigaction(list[i], &sa, NULL);
}

static void
on_turn(struct ev_loop *loop, ev_check *c, int revents)
{
	struct worker *w = c->data;

	(void)loop;
	(void)revents;
	w->now_ns = clock_now_ns();
	SCORE_SET(w->score, heartbeat_ms, w->now_ns / NS_PER_MS);
}

static void
deadline_lists_init(struct worker *w)
{
	const struct settings *s = w->settings;
	const struct {
		struct deadline_list *list;
		uint64_t after_ns;
		deadline_fn *late;
	} lists[] = {
		{ &w->header, s->header_timeout_ms * NS_PER_MS, h1_head_late },
		{ &w->body, s->body_timeout_ms * NS_PER_MS, h1_body_late },
		{ &w->send, s->send_timeout_ms * NS_PER_MS, h1_send_late },
		{ &w->keepalive, s->keepalive_timeout_ms * NS_PER_MS,
		    h1_idle_late },
		{ &w->queue, s->queue_timeout_ms * NS_PER_MS, h1_queue_late },
		{ &w->linger, LINGER_NS, h1_linger_late },
	};

	deadlines_init(&w->deadlines, w->loop);
	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
		deadline_list_init(&w->deadlines, lists[i].list,
		    lists[i].after_ns, lists[i].late, w);
	for (size_t i = 0; i < w->apps.n; i++) {
		struct pf_app *app = &w->apps.at[i];

		deadline_list_init(&w->deadlines, &app->in_work,
		    app->settings->request_timeout_ms * NS_PER_MS,
		    h1_handler_late, app);
	}
}

static void
worker_init(struct worker *w, const struct heritage *h)
{
	const struct settings *s = h->settings;

	*w = (struct worker){
		.heritage = h,
		.settings = s,
		.score = &h->scoreboard->slot[h->slot],
		.h1_limits = { .request_line = (uint32_t)s->max_request_line,
		    .field = (uint32_t)s->max_header,
		    .fields = s->max_headers,
		    .head = (uint32_t)s->max_head },
		.access_log = { .fd = -1 },
		.limits = { .statm_fd = -1 },
		.now_ns = clock_now_ns(),
	};
}

static void
loop_watchers_start(struct worker *w)
{
	ev_check_init(&w->turn, on_turn);
	ev_set_priority(&w->turn, EV_MAXPRI); /* before any other callback */
	w->turn.data = w;
	ev_check_start(w->loop, &w->turn);
	mailbox_init(&w->mailbox, w->loop, h1_request_mail);
	ev_io_init(&w->channel, on_channel, w->heritage->channel_fd, EV_READ);
	w->channel.data = w;
	ev_io_start(w->loop, &w->channel);
}

/* An enum worker_exit, with the reason in err. */
static int
worker_boot(struct worker *w, char *err, size_t err_size)
{
	const struct settings *s = w->settings;
	int status = apps_open(&w->apps, s, err, err_size);

	if (status != WORKER_OK)
		return status;
	w->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	w->scratch = malloc(WORKER_SCRATCH_BYTES);
	if (w->loop == NULL || w->scratch == NULL)
		goto fail;
	deadline_lists_init(w);
	loop_watchers_start(w);
	if (access_log_init(&w->access_log, w->heritage->access_log_fd,
		w->score) < 0 ||
	    baton_init(&w->baton, w, s->threads.min, s->threads.max) < 0)
		goto fail;
	return WORKER_OK;
fail:
	snprintf(err, err_size, "worker cannot start: %s",
	    strerrordesc_np(errno));
	return WORKER_CANNOT_BOOT;
}

void
worker_open(struct worker *w)
{
	if (w->retiring) /* the master is gone already */
		return;
	if (acceptors_start(&w->acceptors, w) < 0) {
		worker_refuse(w, "worker cannot start: %s",
		    strerrordesc_np(errno));
		return;
	}
	limits_start(&w->limits, w);
	state_show(w, SCORE_READY, "ready");
	SCORE_SET(w->score, heartbeat_ms, clock_now_ns() / NS_PER_MS);
	(void)channel_send(w->heritage->channel_fd, CHANNEL_READY, "", NULL, 0);
}

/* ---- end --------------------------------------------------------------- */

void
worker_leave_stuck(struct worker *w)
{
	log_warnx("%u handlers are stuck: exit without them", w->n_stuck);
	access_log_flush(&w->access_log);
	_exit(w->status);
}

static void
worker_fini(struct worker *w)
{
	while (w->conns != NULL) /* only when boot failed half-way */
		conn_close(w->conns);
	baton_fini(&w->baton);
	acceptors_free(&w->acceptors);
	access_log_fini(&w->access_log);
	requests_trim(w);
	apps_close(&w->apps);
	if (w->loop != NULL) {
		mailbox_stop(&w->mailbox);
		ev_loop_destroy(w->loop);
	}
	free(w->scratch);
}

int
worker_main(const struct heritage *h)
{
	static struct worker w;
	char err[CHANNEL_TEXT_MAX] = "";

	signals_disregard();
	worker_init(&w, h);
	w.status = worker_boot(&w, err, sizeof err);
	if (w.status == WORKER_OK) {
		warmup_start(&w.warmup, &w);
		if (!baton_serve(&w.baton))
			worker_leave_stuck(&w);
	} else {
		(void)channel_send(h->channel_fd, CHANNEL_FAILED, err, NULL, 0);
	}
	worker_fini(&w);
	return w.status;
}

int
worker_check(const struct settings *s, char *err, size_t err_size)
{
	struct apps apps;
	int status = apps_check(&apps, s, err, err_size);

	apps_close(&apps);
	return status;
}
