#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "common/scoreboard.h"
#include "conf/settings.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/http/h1_conn.h"
#include "worker/http/uri.h"
#include "worker/request.h"

/* A turn, of connections whose requests come in pieces: a burst of thousands
 * must not keep requests that are complete from running. */
#define PIECE_READS_MAX 128

/* ---- answers of the loop's own ----------------------------------------- */

void
h1_respond_early(struct pf_request *r, unsigned status, unsigned retry_after_s)
{
	r->conn->state = CONN_FLUSHING;
	(void)response_error(r, status, retry_after_s);
	h1_request_finished(r);
}

void
h1_fail(struct pf_request *r, unsigned status, const char *why)
{
	char addr[PEER_TEXT_MAX];

	if (peer_text(&r->peer, addr) == 0)
		memcpy(addr, "unix", 5);
	log_debug("client %s: %s: %u", addr, why, status);
	r->keep = false;
	r->linger = true;
	h1_respond_early(r, status, 0);
}

static void
close_for_want_of_memory(struct conn *c)
{
	struct acceptors *a = &c->worker->acceptors;
	int err = errno;

	conn_linger(c); /* earlier answers arrive; an end may end a pause */
	errno = err;
	acceptors_exhausted(a, "no memory for a request");
}

/* ---- the head ---------------------------------------------------------- */

static struct str
host_without_port(struct str host)
{
	const char *colon = memrchr(host.p, ':', host.n);

	if (colon != NULL &&
	    memchr(colon, ']', (size_t)(host.p + host.n - colon)) == NULL)
		host.n = (size_t)(colon - host.p);
	return host;
}

/* Most paths have nothing to decode and stay where they are.  0, or the status
 * of its refusal. */
static unsigned
decode_path(struct pf_request *r)
{
	struct str raw = h1_raw_path(&r->head, r->buf);
	char *p;

	r->path = raw;
	if (memchr(raw.p, '%', raw.n) == NULL)
		return 0;
	p = arena_alloc(&r->arena, raw.n);
	if (p == NULL)
		return 500;
	if (!uri_decode(raw, p, &r->path.n))
		return 400;
	r->path.p = p;
	return 0;
}

static bool
has_body(const struct pf_request *r)
{
	return r->head.chunked || r->head.content_length > 0;
}

/* It is well-formed, but nobody's here: only a body costs the connection. */
static void
head_refuse(struct pf_request *r, unsigned status, const char *why)
{
	if (has_body(r)) {
		h1_fail(r, status, why);
		return;
	}
	r->body.complete = true;
	h1_respond_early(r, status, 0);
}

static void
head_complete(struct conn *c, struct pf_request *r)
{
	const struct settings *s = c->worker->settings;
	unsigned status;

	deadline_clear(&c->deadline); /* it is in time, and not idle */
	c->sequence++;
	r->keep = r->head.keepalive && !c->eof && s->keepalive_timeout_ms > 0 &&
	    (s->max_keepalive_requests == 0 ||
		c->sequence < s->max_keepalive_requests);
	r->rest = r->buf + r->head.length;
	r->rest_n = r->buf_used - r->head.length;
	if (r->head.method_id == H1_METHOD_CONNECT) {
		h1_fail(r, 501, "CONNECT");
		return;
	}
	status = decode_path(r);
	if (status != 0) {
		h1_fail(r, status,
		    status == 400 ? "bad percent-encoding in the path" :
				    "no memory for the path");
		return;
	}
	r->host = request_str(r, r->head.authority);
	if (!h1_proxied_fields(r))
		return;
	/* RFC 9110 7.4.  Only fields tell: a target goes through proxies as
	 * the client made it up. */
	if (r->head.https && !r->is_https) {
		head_refuse(r, 421,
		    "https target without a secured connection");
		return;
	}
	r->app =
	    apps_route(&c->worker->apps, r->path, host_without_port(r->host));
	if (r->app == NULL) {
		head_refuse(r, 404, "no application");
	} else if (has_body(r)) {
		h1_begin_body(r);
	} else {
		r->body.complete = true;
		ready_add(r);
	}
}

/* It is full, or there is no memory to make it longer. */
static void
head_fail(struct pf_request *r, size_t limit)
{
	if (r->buf_size >= limit) {
		h1_fail(r, 431, "head over max_head");
		return;
	}
	acceptors_exhausted(&r->worker->acceptors, "no memory for a head");
	h1_fail(r, 500, "no memory for the head");
}

void
h1_parse_head(struct conn *c, struct pf_request *r)
{
	size_t limit = (size_t)r->worker->h1_limits.head + 2;
	enum h1_result result = h1_parse(&r->head, r->buf, r->buf_used);

	if (result == H1_OK) {
		head_complete(c, r);
		return;
	}
	if (result != H1_MORE) {
		h1_fail(r, h1_result_status(result), h1_result_text(result));
		return;
	}
	if (!request_grow(r, limit)) {
		head_fail(r, limit);
		return;
	}
	conn_watch(c, EV_READ);
	if (c->deadline.list != &c->worker->header)
		deadline_set(&c->deadline, &c->worker->header,
		    c->worker->now_ns);
}

static void
read_head(struct conn *c, struct pf_request *r)
{
	ssize_t n =
	    read(c->fd, r->buf + r->buf_used, r->buf_size - r->buf_used);

	if (n > 0) {
		r->buf_used += (uint32_t)n;
		c->state = CONN_HEAD;
		h1_parse_head(c, r);
		return;
	}
	if (n == 0) {
		c->eof = true;
		conn_end(c);
	} else if (errno != EAGAIN && errno != EINTR) {
		conn_close(c);
	} else if (r->buf_used == 0) { /* nothing, after all */
		c->state = CONN_IDLE;
		c->request = NULL;
		request_free(r);
	}
}

static void
begin_request(struct conn *c)
{
	c->request = request_new(c->worker, c);
	if (c->request == NULL) {
		close_for_want_of_memory(c);
		return;
	}
	c->state = CONN_HEAD;
	read_head(c, c->request);
}

static void
linger_read(struct conn *c)
{
	struct worker *w = c->worker;
	ssize_t n = read(c->fd, w->scratch, WORKER_SCRATCH_BYTES);

	if (n == 0 && conn_is_taking(c)) {
		c->eof = true;
		conn_watch(c, 0); /* what is left is seen by h1_linger_late() */
	} else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		conn_close(c);
	} else if (n > 0 && w->now_ns < c->linger_until_ns) {
		deadline_set(&c->deadline, &w->linger, w->now_ns);
	}
}

/* Of a request in pieces: in this turn of the loop, or are requests that are
 * here waiting for too many such reads already? */
static bool
read_now(const struct conn *c)
{
	return c->state == CONN_IDLE ||
	    c->worker->piece_reads++ < PIECE_READS_MAX;
}

void
h1_readable(struct conn *c)
{
	if (!read_now(c)) {
		conn_pass_over(c);
		return;
	}
	conn_has_its_turn(c);
	switch ((enum conn_state)c->state) {
	case CONN_PROXY: h1_read_proxy(c); return;
	case CONN_IDLE: begin_request(c); return;
	case CONN_HEAD: read_head(c, c->request); return;
	case CONN_BODY: h1_read_body(c, c->request); return;
	case CONN_QUEUED:
	case CONN_RUNNING:
		if (c->request->body_shared) {
			h1_read_body(c, c->request);
			return;
		}
		break;
	case CONN_FLUSHING: break;
	case CONN_DISCARDING: h1_discard_body(c, c->request); return;
	case CONN_LINGERING: linger_read(c); return;
	}
	/* the next request waits in the kernel; only now it costs a call */
	conn_watch(c, c->io.events & EV_WRITE);
}

/* libev tells of sockets in the same order in each turn: without a queue the
 * last of them would never be read. */
void
h1_read_passed_over(struct worker *w)
{
	struct conn *c;

	while (w->piece_reads < PIECE_READS_MAX &&
	    (c = TAILQ_FIRST(&w->passed_over)) != NULL)
		h1_readable(c);
}

/* ---- from the response to the next request ----------------------------- */

/* Pipelined bytes move to the next request's buffer.  They are parsed in the
 * next turn: here it would recurse, once for each request a client sends. */
static void
begin_with_rest(struct conn *c, struct pf_request *done)
{
	struct pf_request *r = request_new(c->worker, c);

	c->request = r;
	while (r != NULL && r->buf_size < done->rest_n) {
		r->buf_used = r->buf_size; /* grow wants it full */
		if (!request_grow(r, SIZE_MAX / 2)) {
			request_free(r);
			r = c->request = NULL;
		}
	}
	if (r == NULL) {
		request_free(done);
		close_for_want_of_memory(c);
		return;
	}
	memcpy(r->buf, done->rest, done->rest_n);
	r->buf_used = (uint32_t)done->rest_n;
	request_free(done);
	deadline_clear(&c->deadline);
	c->state = CONN_QUEUED;
	request_list_push(&c->worker->pipelined, r);
}

void
h1_pipelined(struct worker *w)
{
	struct pf_request *r;

	for (unsigned n = w->pipelined.n; n > 0; n--) {
		r = request_list_pop(&w->pipelined);
		if (r->conn == NULL) { /* closed meanwhile */
			request_free(r);
			worker_maybe_finish(w);
			continue;
		}
		r->conn->state = CONN_HEAD;
		h1_parse_head(r->conn, r);
	}
}

void
h1_next_request(struct conn *c, struct pf_request *done)
{
	c->request = NULL;
	conn_watch(c, EV_READ);
	if (done->rest_n > 0) {
		begin_with_rest(c, done);
		return;
	}
	request_free(done);
	c->state = CONN_IDLE;
	deadline_set(&c->deadline, &c->worker->keepalive, c->worker->now_ns);
	acceptors_idle(&c->worker->acceptors);
}

void
h1_log_response(const struct pf_request *r)
{
	const struct response *p = &r->response;

	access_log_add(&r->worker->access_log, r, p->status,
	    p->bodiless ? 0 : p->written);
}

/* May closing send a reset, because bytes of the client are unread, or come?
 * One that does not know that this answer is the last may have sent its next
 * request already.  One that asked for it may have sent more all the same,
 * which stopped the watcher: h1_readable(). */
static bool
close_resets(struct conn *c, const struct pf_request *r)
{
	bool watched = ev_is_active(&c->io) && (c->io.events & EV_READ) != 0;

	return r->linger || r->rest_n > 0 || !r->body.complete ||
	    r->head.keepalive || (!watched && conn_has_bytes(c));
}

/* All of the response is with the kernel. */
static void
response_sent(struct conn *c, struct pf_request *r)
{
	bool close = r->response.close || c->eof;

	h1_log_response(r);
	if (r->response.cut) {
		conn_reset(c);
	} else if (r->body.complete && r->body.error == 0 && !close) {
		h1_next_request(c, r);
	} else if (close || r->continue_wanted || r->body.error != 0) {
		if (close_resets(c, r))
			conn_linger(c);
		else
			conn_end(c);
	} else {
		h1_discard_begin(c, r);
	}
}

static bool
reads_body(const struct conn *c, const struct pf_request *r)
{
	return c->state == CONN_BODY ||
	    (c->state != CONN_FLUSHING && r->body_shared);
}

/* More will be written and nothing waits: back to what is read, if anything. */
static void
flushed(struct conn *c, struct pf_request *r)
{
	struct worker *w = c->worker;

	conn_watch(c, c->io.events & EV_READ);
	if (c->deadline.list != &w->send)
		return;
	deadline_clear(&c->deadline);
	if (reads_body(c, r) && !r->body.complete)
		h1_pace(c, &w->body, r->body.received);
}

/* The client is gone; or we broke the gate, and it must not take what it has
 * for all of it. */
static void
flush_failed(struct conn *c, struct pf_request *r)
{
	if (c->state == CONN_RUNNING) {
		conn_watch(c, 0); /* a handler learns it from its calls */
		return;
	}
	if (c->state == CONN_FLUSHING)
		h1_log_response(r);
	conn_reset(c);
}

/* A request with mail on its way ends when that arrives. */
static void
flush(struct conn *c, struct pf_request *r)
{
	struct worker *w = c->worker;
	bool finished = c->state == CONN_FLUSHING && atomic_load(&r->mail) == 0;

	switch (gate_flush(&r->gate)) {
	case PF_OK:
		if (finished)
			response_sent(c, r);
		else
			flushed(c, r);
		return;
	case PF_AGAIN:
		conn_watch(c, reads_body(c, r) ? EV_READ | EV_WRITE : EV_WRITE);
		h1_pace(c, &w->send, gate_taken(&r->gate));
		return;
	default: flush_failed(c, r);
	}
}

void
h1_writable(struct conn *c)
{
	if (c->request != NULL)
		flush(c, c->request);
	else
		conn_watch(c, EV_READ);
}

/* The module is through with it, and no mail is on its way. */
static void
request_complete(struct pf_request *r)
{
	struct worker *w = r->worker;
	struct conn *c = r->conn;

	deadline_clear(&r->deadline);
	SCORE_ADD(w->score, requests, 1);
	if (r->response.status >= 500)
		SCORE_ADD(w->score, errors_5xx, 1);
	if (c == NULL) {
		w->n_stuck -= r->stuck;
		request_free(r);
		worker_maybe_finish(w);
		return;
	}
	c->state = CONN_FLUSHING;
	if (r->gate.broken || r->gate.first != NULL)
		flush(c, r);
	else
		response_sent(c, r);
}

void
h1_request_finished(struct pf_request *r)
{
	if (atomic_load_explicit(&r->mail, memory_order_relaxed) != 0)
		mail_send(&r->worker->mailbox, r, MAIL_FINISHED);
	else if (r->gate.deferred)
		request_list_push(&r->worker->deferred, r);
	else
		request_complete(r);
}

void
h1_send_deferred(struct worker *w)
{
	struct pf_request *r;

	while ((r = request_list_pop(&w->deferred)) != NULL)
		request_complete(r);
}

void
h1_request_in_work(struct pf_request *r)
{
	if (gate_defer_no_more(&r->gate))
		flush(r->conn, r);
	if (r->app->in_work.after_ns != 0)
		deadline_set(&r->deadline, &r->app->in_work, r->run_ns);
}

void
h1_request_mail(struct pf_request *r, unsigned mail)
{
	struct conn *c = r->conn;

	if ((mail & MAIL_FINISHED) != 0) {
		request_complete(r);
		return;
	}
	if (c == NULL)
		return;
	if ((mail & MAIL_READ) != 0 && c->state == CONN_RUNNING && !c->eof) {
		conn_watch(c, EV_READ | (c->io.events & EV_WRITE));
		if (c->deadline.list == NULL)
			h1_pace(c, &r->worker->body, r->body.received);
	}
	if ((mail & MAIL_FLUSH) != 0) /* of a response, or 100 Continue */
		flush(c, r);
}
