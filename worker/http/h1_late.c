/* What happens when a timeout of worker/conn.h's table passes. */
#include <sys/socket.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "conf/settings.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/http/h1_conn.h"
#include "worker/ready.h"
#include "worker/report.h"
#include "worker/request.h"

static struct pf_request *
request_of(struct deadline *d)
{
	return (struct pf_request *)(void *)((char *)d -
	    offsetof(struct pf_request, deadline));
}

/* ---- the pace ------------------------------------------------------------ */

bool
h1_in_pace(const struct conn *c, const struct deadline_list *l, uint64_t moved)
{
	const struct pf_app *app = c->request->app;
	uint64_t rate = app != NULL ? app->settings->min_rate :
				      c->worker->settings->min_rate;
	uint64_t due = rate * (l->after_ns / NS_PER_MS) / 1000;

	return moved - c->moved >= (due > 0 ? due : 1);
}

void
h1_pace(struct conn *c, struct deadline_list *l, uint64_t moved)
{
	if (c->deadline.list == l && !h1_in_pace(c, l, moved))
		return;
	c->moved = moved;
	deadline_set(&c->deadline, l, c->worker->now_ns);
}

/* ---- late ---------------------------------------------------------------- */

static void
too_slow(struct conn *c, const char *why)
{
	SCORE_ADD(c->worker->score, too_slow, 1);
	h1_fail(c->request, 408, why);
}

void
h1_head_late(struct deadline *d, void *worker)
{
	struct conn *c = conn_of(d);

	(void)worker;
	if (c->state == CONN_HEAD)
		too_slow(c, "head late");
	else if (c->state == CONN_PROXY)
		h1_proxy_late(c);
	else if (c->state == CONN_IDLE)
		conn_close(c); /* connected and said nothing */
}

void
h1_body_late(struct deadline *d, void *worker)
{
	struct conn *c = conn_of(d);

	(void)worker;
	if (c->state == CONN_BODY)
		too_slow(c, "body late");
	else if (c->state == CONN_DISCARDING)
		conn_linger(c); /* the rest of the body may still come */
	else if (c->state == CONN_QUEUED || c->state == CONN_RUNNING)
		h1_stream_late(c->request);
}

void
h1_send_late(struct deadline *d, void *worker)
{
	struct worker *w = worker;
	struct conn *c = conn_of(d);
	uint64_t taken = gate_taken(&c->request->gate);

	/* a slow client empties the kernel's buffer before we hear of it */
	if (h1_in_pace(c, &w->send, taken)) {
		h1_pace(c, &w->send, taken);
		return;
	}
	SCORE_ADD(w->score, too_slow, 1);
	if (c->state == CONN_FLUSHING)
		h1_log_response(c->request);
	conn_reset(c); /* a handler learns it from its calls */
}

void
h1_idle_late(struct deadline *d, void *worker)
{
	struct conn *c = conn_of(d);

	(void)worker;
	if (c->state != CONN_IDLE)
		return;
	if (conn_has_bytes(c))
		h1_readable(c); /* just in time */
	else
		conn_end(c);
}

void
h1_linger_late(struct deadline *d, void *worker)
{
	struct worker *w = worker;
	struct conn *c = conn_of(d);
	uint64_t now = clock_now_ns(), next = now + w->linger.after_ns;

	if (next < c->linger_until_ns && next < w->retire_by_ns &&
	    conn_is_taking(c))
		deadline_set(d, &w->linger, now);
	else
		conn_close(c);
}

static void
answer_504(struct conn *c, bool is_head)
{
	static const char text[] =
	    "HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/plain\r\n"
	    "Content-Length: 20\r\nConnection: close\r\n\r\n"
	    "504 Gateway Timeout\n";

	size_t n = sizeof text - 1 - (is_head ? 20 : 0);

	/* earlier answers may fill it, which nobody takes */
	if (send(c->fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n)
		conn_linger(c);
	else
		conn_reset(c);
}

static bool
is_waited(struct gate *g)
{
	bool waited;

	pthread_mutex_lock(&g->lock);
	waited = g->waited && !g->abandoned;
	pthread_mutex_unlock(&g->lock);
	return waited;
}

/* Its client was answered: a worker that retires need not wait for it. */
static void
not_waited_for(struct pf_request *r)
{
	r->worker->n_stuck += !r->stuck;
	r->stuck = true;
}

static void
replace_worker(struct pf_request *r)
{
	if (r->worker->retiring)
		return; /* it is being replaced, or not */
	worker_recycle(r->worker, CHANNEL_RECYCLE,
	    "a handler of app %s is stuck", r->app->settings->name);
}

/* It had its chance to clean up. */
void
h1_interrupted_late(struct deadline *d, void *worker)
{
	struct pf_request *r = request_of(d);
	unsigned phase = atomic_load(&r->phase);

	if (phase == (REQUEST_DONE | REQUEST_RETURNED))
		return; /* we are about to hear of it */
	not_waited_for(r);
	if ((phase & REQUEST_RETURNED) == 0)
		replace_worker(r);
	worker_maybe_finish(worker);
}

/* on_request has not returned.  One that waits for its client is about to be
 * told: else whoever sends or reads slowly could have workers replaced. */
static void
handler_stuck(struct pf_request *r)
{
	struct worker *w = r->worker;
	uint64_t now = clock_now_ns();

	if (is_waited(&r->gate)) {
		deadline_set(&r->deadline, &r->app->in_work, now);
		return;
	}
	report_write(w, "has a handler over its request_timeout");
	if (baton_interrupt(&w->baton, r) &&
	    now + w->interrupted.after_ns <= w->retire_by_ns) {
		deadline_set(&r->deadline, &w->interrupted, now);
		return;
	}
	not_waited_for(r);
	replace_worker(r);
}

/* Of the body; 0 when even a part of the head has still to go out. */
static int64_t
body_sent(const struct pf_request *r)
{
	uint64_t sent = r->gate.sent_bytes, head = r->response.head_n;

	return sent > head ? (int64_t)(sent - head) : 0;
}

/* The handler keeps the request, and the client is not kept waiting. */
void
h1_handler_late(struct deadline *d, void *app)
{
	struct pf_request *r = request_of(d);
	struct worker *w = r->worker;
	struct conn *c = r->conn;
	struct str method = request_str(r, r->head.method);
	struct str target = request_target_logged(r);
	double s = (double)(clock_now_ns() - r->run_ns) / 1e9;
	char made[REQUEST_ID_BYTES];
	struct str id = request_id(r, made);
	bool committed;

	(void)app;
	log_warnx("app %s: %.*s %.*s runs for %.1f s: request_timeout, id %.*s",
	    r->app->settings->name, (int)method.n, method.p, (int)target.n,
	    target.p, s, (int)id.n, id.p);
	if ((atomic_load(&r->phase) & REQUEST_RETURNED) == 0)
		handler_stuck(r);
	else
		not_waited_for(r); /* the module holds it */
	if (c == NULL) {
		worker_maybe_finish(w);
		return;
	}
	committed = gate_abandon(&r->gate);
	r->conn = NULL;
	c->request = NULL;
	SCORE_ADD(w->score, abandoned, 1);
	if (committed) { /* it saw the status, and less than the body */
		access_log_add(&w->access_log, r, r->response.status,
		    body_sent(r));
		conn_reset(c);
		return;
	}
	access_log_add(&w->access_log, r, 504, 0);
	if (r->gate.broken)
		conn_reset(c);
	else
		answer_504(c, r->head.method_id == H1_METHOD_HEAD);
}

/* First in, first out: the one that waits longest is the one to take. */
void
h1_queue_late(struct deadline *d, void *worker)
{
	struct worker *w = worker;
	struct pf_request *r = ready_take(w);

	(void)d;
	if (r->conn != NULL && conn_is_gone(r->conn))
		conn_close(r->conn);
	if (r->conn == NULL) {
		request_free(r);
		worker_maybe_finish(w);
		return;
	}
	r->keep = r->keep && r->body.complete;
	h1_respond_early(r, 503,
	    (unsigned)(w->settings->queue_timeout_ms / 1000) + 1);
}
