/* Request bodies of HTTP/1 connections: read before the request is queued, or
 * streamed while its handler runs, or read past it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/scoreboard.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/http/h1_conn.h"
#include "worker/ready.h"
#include "worker/request.h"

/* Of a body that the handler left unread, so that the connection can stay. */
#define DISCARD_MAX 65536

/* What came after the body belongs to the next request. */
static bool
rest_keep(struct pf_request *r, const char *p, size_t n)
{
	if (n == 0)
		return true;
	r->rest = malloc(n);
	if (r->rest == NULL)
		return false;
	memcpy(r->rest, p, n);
	r->rest_n = n;
	r->rest_owned = true;
	return true;
}

/* A streamed body: the handler learns what came, or why no more will. */
static void
stream_changed(struct pf_request *r)
{
	pthread_cond_broadcast(&r->gate.changed);
}

void
h1_stream_fail(struct pf_request *r, int error)
{
	pthread_mutex_lock(&r->gate.lock);
	r->body.error = error;
	stream_changed(r);
	pthread_mutex_unlock(&r->gate.lock);
	r->linger = true;
}

static const char *
body_result_text(enum body_result result)
{
	switch (result) {
	case BODY_BAD: return "malformed chunked body";
	case BODY_TOO_BIG: return "body over max_body";
	case BODY_TRAILERS: return "too many trailers, or too long";
	case BODY_FAILED: return "body could not be kept";
	case BODY_MORE:
	case BODY_DONE: break;
	}
	return "";
}

/* A connection has one timeout: if the client keeps us waiting in both
 * directions, that of sending. */
static void
body_deadline(struct conn *c, struct pf_request *r)
{
	if (c->deadline.list != &c->worker->send)
		h1_pace(c, &c->worker->body, r->body.received);
}

static void
body_deadline_clear(struct conn *c)
{
	if (c->deadline.list != &c->worker->send)
		deadline_clear(&c->deadline);
}

/* A body that is read before its request is queued. */
static void
body_fed(struct pf_request *r, enum body_result result)
{
	struct conn *c = r->conn;

	switch (result) {
	case BODY_DONE:
		body_deadline_clear(c); /* the client is done */
		ready_add(r);
		return;
	case BODY_MORE:
		c->state = CONN_BODY;
		conn_watch(c, EV_READ | (c->io.events & EV_WRITE));
		body_deadline(c, r);
		return;
	case BODY_FAILED:
		log_error("body_dir %s", r->app->body_limits.dir);
		__attribute__((fallthrough));
	case BODY_BAD:
	case BODY_TRAILERS:
	case BODY_TOO_BIG:
		h1_fail(r, (unsigned)result, body_result_text(result));
	}
}

/* A body that is read while its handler runs. */
static void
stream_fed(struct pf_request *r, enum body_result result)
{
	struct conn *c = r->conn;

	switch (result) {
	case BODY_MORE: body_deadline(c, r); return;
	case BODY_FAILED:
		log_error("streamed body");
		h1_stream_fail(r, PF_ENOMEM);
		__attribute__((fallthrough));
	case BODY_BAD:
	case BODY_TRAILERS:
	case BODY_TOO_BIG: r->linger = true; __attribute__((fallthrough));
	case BODY_DONE:
		body_deadline_clear(c);
		conn_watch(c, c->io.events & EV_WRITE);
	}
}

static enum body_result
body_feed_locked(struct pf_request *r, char *p, size_t *n)
{
	enum body_result result;

	pthread_mutex_lock(&r->gate.lock);
	result = body_feed(&r->body, &r->app->body_limits, p, n);
	if (r->body_shared)
		stream_changed(r);
	pthread_mutex_unlock(&r->gate.lock);
	return result;
}

static void
body_bad(struct pf_request *r)
{
	SCORE_ADD(r->worker->score, bodies_bad, 1);
}

static enum body_result
body_counted(struct pf_request *r, enum body_result result)
{
	if (result == BODY_BAD)
		body_bad(r);
	return result;
}

/* The client has sent all it will: one that only half closed gets its answer
 * (RFC 9112 8). */
static void
body_eof(struct conn *c, struct pf_request *r)
{
	body_bad(r);
	c->eof = true;
	body_deadline_clear(c);
	conn_watch(c, c->io.events & EV_WRITE);
	if (c->state == CONN_BODY)
		h1_fail(r, 400, "body cut short");
	else
		h1_stream_fail(r, PF_EPROTO);
}

void
h1_read_body(struct conn *c, struct pf_request *r)
{
	struct worker *w = c->worker;
	size_t want, taken;
	enum body_result result;
	ssize_t n;

	pthread_mutex_lock(&r->gate.lock);
	want = body_wants(&r->body, WORKER_SCRATCH_BYTES);
	pthread_mutex_unlock(&r->gate.lock);
	if (want == 0) { /* complete, or the handler is slow */
		body_deadline_clear(c);
		conn_watch(c, c->io.events & EV_WRITE);
		return;
	}
	n = read(c->fd, w->scratch, want);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		body_eof(c, r);
		return;
	}
	taken = (size_t)n;
	result = body_counted(r, body_feed_locked(r, w->scratch, &taken));
	if (!rest_keep(r, w->scratch + taken, (size_t)n - taken))
		result = BODY_FAILED;
	if (c->state == CONN_BODY)
		body_fed(r, result);
	else
		stream_fed(r, result);
}

void
h1_discard_begin(struct conn *c, struct pf_request *r)
{
	c->state = CONN_DISCARDING;
	r->body_shared = false;
	r->discard_until = r->body.received + DISCARD_MAX;
	conn_watch(c, EV_READ);
	deadline_set(&c->deadline, &c->worker->body, c->worker->now_ns);
}

void
h1_discard_body(struct conn *c, struct pf_request *r)
{
	struct worker *w = c->worker;
	enum body_result result;
	size_t taken;
	ssize_t n;

	r->body.at = r->body.used = 0;
	n = read(c->fd, w->scratch, body_wants(&r->body, WORKER_SCRATCH_BYTES));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		body_bad(r);
		c->eof = true;
		conn_end(c);
		return;
	}
	if (r->body.received > r->discard_until) {
		conn_linger(c); /* more is on its way: not a reset */
		return;
	}
	taken = (size_t)n;
	result = body_counted(r,
	    body_feed(&r->body, &r->app->body_limits, w->scratch, &taken));
	if (result == BODY_MORE)
		return;
	if (result != BODY_DONE ||
	    !rest_keep(r, w->scratch + taken, (size_t)n - taken))
		conn_linger(c);
	else
		h1_next_request(c, r);
}

void
h1_begin_body(struct pf_request *r)
{
	struct pf_app *app = r->app;
	char *raw = r->buf + r->head.length;
	size_t n = r->buf_used - r->head.length;
	enum body_result result;

	if (r->head.content_length > app->body_limits.max) {
		h1_fail(r, 413, body_result_text(BODY_TOO_BIG));
		return;
	}
	body_init(&r->body, &r->head, &r->worker->h1_limits, &app->body_limits);
	r->rest_n = n;
	result = body_counted(r,
	    body_feed_first(&r->body, &app->body_limits, raw, &n));
	r->rest = raw + n;
	r->rest_n -= n;
	r->continue_wanted = r->head.expect_continue && r->body.received == 0 &&
	    !r->body.complete;
	if (result != BODY_MORE || !app->body_limits.stream) {
		if (result == BODY_MORE)
			response_continue(r);
		body_fed(r, result);
		return;
	}
	r->body_shared = true;
	ready_add(r);
	conn_watch(r->conn, EV_READ);
	body_deadline(r->conn, r);
}

/* Unless it is the handler that is slow, and the ring is full. */
void
h1_stream_late(struct pf_request *r)
{
	bool starved;

	pthread_mutex_lock(&r->gate.lock);
	starved = r->body.starved;
	pthread_mutex_unlock(&r->gate.lock);
	if (starved)
		return;
	SCORE_ADD(r->worker->score, too_slow, 1);
	h1_stream_fail(r, PF_ETIMEOUT);
}
