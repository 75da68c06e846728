#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "conf/settings.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/http/h1_conn.h"
#include "worker/http/uri.h"
#include "worker/request.h"

/* Of a body that the handler left unread, so that the connection can stay. */
#define DISCARD_MAX 65536

/* Bytes of a target in the error log. */
#define TARGET_LOGGED 256

#define container_of(p, type, member)                                          \
	((type *)(void *)((char *)(p)-offsetof(type, member)))

static void next_request(struct conn *, struct pf_request *);
static void parse_head(struct conn *, struct pf_request *);

/* ---- answers of the loop's own ----------------------------------------- */

static void
respond_early(struct pf_request *r, unsigned status, unsigned retry_after_s)
{
	r->conn->state = CONN_FLUSHING;
	(void)response_error(r, status, retry_after_s);
	h1_request_finished(r);
}

/* The request cannot be read to its end: answer, close. */
static void
fail(struct pf_request *r, unsigned status, const char *why)
{
	char addr[PEER_TEXT_MAX];

	if (peer_text(&r->peer, addr) == 0)
		memcpy(addr, "unix", 5);
	log_debug("client %s: %s: %u", addr, why, status);
	r->keep = false;
	r->linger = true;
	respond_early(r, status, 0);
}

/* ---- ready ------------------------------------------------------------- */

static void
ready_add(struct pf_request *r)
{
	struct worker *w = r->worker;
	struct ready_list *l = &w->ready;

	r->conn->state = CONN_QUEUED;
	r->ready_ns = w->now_ns;
	r->next = NULL;
	*(l->last != NULL ? &l->last->next : &l->first) = r;
	l->last = r;
	l->n++;
	if (w->queue.after_ns != 0)
		deadline_set(&r->deadline, &w->queue, w->now_ns);
}

static struct pf_request *
ready_take(struct worker *w)
{
	struct ready_list *l = &w->ready;
	struct pf_request *r = l->first;

	l->first = r->next;
	if (l->first == NULL)
		l->last = NULL;
	l->n--;
	deadline_clear(&r->deadline);
	acceptors_room(&w->acceptors);
	return r;
}

struct pf_request *
h1_ready_take(struct worker *w)
{
	struct pf_request *r = ready_take(w);

	if (r->conn == NULL) { /* closed meanwhile */
		request_free(r);
		worker_maybe_finish(w);
		return NULL;
	}
	r->conn->state = CONN_RUNNING;
	return r;
}

static bool
client_left(const struct conn *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 &&
	    (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* First in, first out: the one that waits longest is the one to take. */
void
h1_queue_late(struct deadline *d, void *worker)
{
	struct worker *w = worker;
	struct pf_request *r = ready_take(w);

	(void)d;
	if (r->conn != NULL && client_left(r->conn))
		conn_close(r->conn);
	if (r->conn == NULL) {
		request_free(r);
		worker_maybe_finish(w);
		return;
	}
	r->keep = r->keep && r->body.complete;
	respond_early(r, 503,
	    (unsigned)(w->settings->queue_timeout_ms / 1000) + 1);
}

/* ---- the body ---------------------------------------------------------- */

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

static void
stream_fail(struct pf_request *r, int error)
{
	pthread_mutex_lock(&r->gate.lock);
	r->body.error = error;
	stream_changed(r);
	pthread_mutex_unlock(&r->gate.lock);
	r->keep = false;
	r->linger = true;
}

static const char *
body_result_text(enum body_result result)
{
	switch (result) {
	case BODY_BAD: return "malformed chunked body";
	case BODY_TOO_BIG: return "body over max_body";
	case BODY_FAILED: return "body could not be kept";
	case BODY_MORE:
	case BODY_DONE: break;
	}
	return "";
}

/* A body that is read before its request is queued. */
static void
body_fed(struct pf_request *r, enum body_result result)
{
	struct conn *c = r->conn;

	switch (result) {
	case BODY_DONE: ready_add(r); return;
	case BODY_MORE:
		c->state = CONN_BODY;
		conn_watch(c, EV_READ);
		deadline_set(&c->deadline, &r->worker->body, r->worker->now_ns);
		return;
	case BODY_FAILED:
		log_error("body_dir %s", r->app->body_limits.dir);
		__attribute__((fallthrough));
	case BODY_BAD:
	case BODY_TOO_BIG: fail(r, (unsigned)result, body_result_text(result));
	}
}

/* A body that is read while its handler runs. */
static void
stream_fed(struct pf_request *r, enum body_result result)
{
	struct conn *c = r->conn;

	switch (result) {
	case BODY_MORE:
		deadline_set(&c->deadline, &r->worker->body, r->worker->now_ns);
		return;
	case BODY_FAILED:
		log_error("streamed body");
		__attribute__((fallthrough));
	case BODY_BAD:
	case BODY_TOO_BIG:
		r->linger = true;
		r->keep = false;
		__attribute__((fallthrough));
	case BODY_DONE:
		deadline_clear(&c->deadline);
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
body_eof(struct conn *c, struct pf_request *r)
{
	if (c->state == CONN_BODY) {
		conn_close(c); /* nobody is there to be answered */
		return;
	}
	c->eof = true;
	conn_watch(c, c->io.events & EV_WRITE);
	stream_fail(r, PF_EPROTO);
}

static void
read_body(struct conn *c, struct pf_request *r)
{
	struct worker *w = c->worker;
	size_t want, taken;
	enum body_result result;
	ssize_t n;

	pthread_mutex_lock(&r->gate.lock);
	want = body_wants(&r->body, WORKER_SCRATCH_BYTES);
	pthread_mutex_unlock(&r->gate.lock);
	if (want == 0) { /* complete, or the handler is slow */
		deadline_clear(&c->deadline);
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
	result = body_feed_locked(r, w->scratch, &taken);
	if (!rest_keep(r, w->scratch + taken, (size_t)n - taken))
		result = BODY_FAILED;
	if (c->state == CONN_BODY)
		body_fed(r, result);
	else
		stream_fed(r, result);
}

/* The handler left it unread: read on so that the connection can serve. */
static void
discard_body(struct conn *c, struct pf_request *r)
{
	struct worker *w = c->worker;
	enum body_result result;
	size_t taken;
	ssize_t n;

	r->body.at = r->body.used = 0;
	n = read(c->fd, w->scratch, body_wants(&r->body, WORKER_SCRATCH_BYTES));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || r->body.received > r->discard_until) {
		conn_close(c);
		return;
	}
	taken = (size_t)n;
	result = body_feed(&r->body, &r->app->body_limits, w->scratch, &taken);
	if (result == BODY_MORE)
		return;
	if (result != BODY_DONE ||
	    !rest_keep(r, w->scratch + taken, (size_t)n - taken))
		conn_linger(c);
	else
		next_request(c, r);
}

static void
begin_body(struct pf_request *r)
{
	struct pf_app *app = r->app;
	char *raw = r->buf + r->head.length;
	size_t n = r->buf_used - r->head.length;
	enum body_result result;

	if (r->head.content_length > app->body_limits.max) {
		fail(r, 413, body_result_text(BODY_TOO_BIG));
		return;
	}
	body_init(&r->body, &r->head, &r->worker->h1_limits, &app->body_limits);
	r->rest_n = n;
	result = body_feed_first(&r->body, &app->body_limits, raw, &n);
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
	deadline_set(&r->conn->deadline, &r->worker->body, r->worker->now_ns);
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

/* Most paths have nothing to decode and stay where they are. */
static bool
decode_path(struct pf_request *r)
{
	struct str raw = request_str(r, r->head.raw_path);
	char *p;

	r->path = raw;
	if (memchr(raw.p, '%', raw.n) == NULL)
		return true;
	p = arena_alloc(&r->arena, raw.n);
	if (p == NULL || !uri_decode(raw, p, &r->path.n))
		return false;
	r->path.p = p;
	return true;
}

static void
head_complete(struct conn *c, struct pf_request *r)
{
	const struct settings *s = c->worker->settings;

	c->sequence++;
	r->keep = r->head.keepalive && !c->eof && s->keepalive_timeout_ms > 0 &&
	    (s->max_keepalive_requests == 0 ||
		c->sequence < s->max_keepalive_requests);
	r->rest = r->buf + r->head.length;
	r->rest_n = r->buf_used - r->head.length;
	if (r->head.method_id == H1_METHOD_CONNECT) {
		fail(r, 501, "CONNECT");
		return;
	}
	if (!decode_path(r)) {
		fail(r, 400, "bad percent-encoding in the path");
		return;
	}
	r->app = apps_route(&c->worker->apps, r->path,
	    host_without_port(request_str(r, r->head.authority)));
	if (r->head.chunked || r->head.content_length > 0) {
		if (r->app != NULL)
			begin_body(r);
		else
			fail(r, 404, "no application");
		return;
	}
	r->body.complete = true;
	if (r->app != NULL)
		ready_add(r);
	else
		respond_early(r, 404, 0);
}

static void
parse_head(struct conn *c, struct pf_request *r)
{
	enum h1_result result = h1_parse(&r->head, r->buf, r->buf_used);

	if (result == H1_OK) {
		head_complete(c, r);
		return;
	}
	if (result != H1_MORE) {
		fail(r, h1_result_status(result), h1_result_text(result));
		return;
	}
	if (!request_grow(r, (size_t)r->worker->h1_limits.head + 2)) {
		fail(r, 431, "head over max_head");
		return;
	}
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
		parse_head(c, r);
		return;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
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
		log_warn("connection closed");
		conn_close(c);
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

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		conn_close(c);
	else if (n > 0 && w->now_ns < c->linger_until_ns)
		deadline_set(&c->deadline, &w->linger, w->now_ns);
}

void
h1_readable(struct conn *c)
{
	switch ((enum conn_state)c->state) {
	case CONN_IDLE: begin_request(c); return;
	case CONN_HEAD: read_head(c, c->request); return;
	case CONN_BODY: read_body(c, c->request); return;
	case CONN_QUEUED:
	case CONN_RUNNING:
		if (c->request->body_shared) {
			read_body(c, c->request);
			return;
		}
		break;
	case CONN_FLUSHING: break;
	case CONN_DISCARDING: discard_body(c, c->request); return;
	case CONN_LINGERING: linger_read(c); return;
	}
	/* the next request waits in the kernel; only now it costs a call */
	conn_watch(c, c->io.events & EV_WRITE);
}

/* ---- from the response to the next request ----------------------------- */

/* Pipelined bytes move to the next request's buffer. */
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
		conn_close(c);
		return;
	}
	memcpy(r->buf, done->rest, done->rest_n);
	r->buf_used = (uint32_t)done->rest_n;
	request_free(done);
	c->state = CONN_HEAD;
	parse_head(c, r);
}

static void
next_request(struct conn *c, struct pf_request *done)
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
}

static void
log_response(const struct pf_request *r)
{
	const struct response *p = &r->response;

	access_log_add(&r->worker->access_log, r, p->status,
	    p->bodiless ? 0 : p->written);
}

/* All of the response is with the kernel. */
static void
response_sent(struct conn *c, struct pf_request *r)
{
	bool close = r->response.close || c->eof;

	log_response(r);
	if (r->response.cut) {
		conn_reset(c);
	} else if (r->body.complete && !close) {
		next_request(c, r);
	} else if (close || r->continue_wanted || r->body.error != 0) {
		if (r->linger || r->rest_n > 0 || !r->body.complete)
			conn_linger(c);
		else
			conn_close(c);
	} else {
		c->state = CONN_DISCARDING;
		r->body_shared = false;
		r->discard_until = r->body.received + DISCARD_MAX;
		conn_watch(c, EV_READ);
		deadline_set(&c->deadline, &c->worker->body, c->worker->now_ns);
	}
}

/* The handler runs on and nothing waits: back to what is read, if anything. */
static void
flushed(struct conn *c, struct pf_request *r)
{
	struct worker *w = c->worker;

	conn_watch(c, c->io.events & EV_READ);
	if (c->deadline.list != &w->send)
		return;
	deadline_clear(&c->deadline);
	if (r->body_shared && !r->body.complete)
		deadline_set(&c->deadline, &w->body, w->now_ns);
}

/* progress: the client took something since the last time. */
static void
flush(struct conn *c, struct pf_request *r, bool progress)
{
	struct worker *w = c->worker;
	bool finished = c->state == CONN_FLUSHING;

	switch (gate_flush(&r->gate)) {
	case PF_OK:
		if (finished)
			response_sent(c, r);
		else
			flushed(c, r);
		return;
	case PF_AGAIN:
		conn_watch(c,
		    finished || !r->body_shared ? EV_WRITE :
						  EV_READ | EV_WRITE);
		if (progress || c->deadline.list != &w->send)
			deadline_set(&c->deadline, &w->send, w->now_ns);
		return;
	default: /* the client is gone; a handler learns it from its calls */
		if (!finished) {
			conn_watch(c, 0);
			return;
		}
		log_response(r);
		conn_close(c);
	}
}

void
h1_writable(struct conn *c)
{
	if (c->request != NULL)
		flush(c, c->request, true);
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
		flush(c, r, false);
	else
		response_sent(c, r);
}

void
h1_request_finished(struct pf_request *r)
{
	if (atomic_load_explicit(&r->mail, memory_order_relaxed) != 0)
		mail_send(&r->worker->mailbox, r, MAIL_FINISHED);
	else
		request_complete(r);
}

void
h1_request_in_work(struct pf_request *r)
{
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
	if (c == NULL || c->state != CONN_RUNNING)
		return;
	if ((mail & MAIL_READ) != 0 && !c->eof) {
		conn_watch(c, EV_READ | (c->io.events & EV_WRITE));
		if (c->deadline.list == NULL)
			deadline_set(&c->deadline, &r->worker->body,
			    r->worker->now_ns);
	}
	if ((mail & MAIL_FLUSH) != 0)
		flush(c, r, false);
}

/* ---- too late ---------------------------------------------------------- */

static struct conn *
conn_of(struct deadline *d)
{
	return container_of(d, struct conn, deadline);
}

void
h1_head_late(struct deadline *d, void *worker)
{
	struct conn *c = conn_of(d);

	(void)worker;
	if (c->state == CONN_HEAD)
		fail(c->request, 408, "head late");
	else if (c->state == CONN_IDLE)
		conn_close(c); /* connected and said nothing */
}

/* Unless it is the handler that is slow, and the ring is full. */
static void
stream_late(struct pf_request *r)
{
	bool starved;

	pthread_mutex_lock(&r->gate.lock);
	starved = r->body.starved;
	pthread_mutex_unlock(&r->gate.lock);
	if (!starved)
		stream_fail(r, PF_ETIMEOUT);
}

void
h1_body_late(struct deadline *d, void *worker)
{
	struct conn *c = conn_of(d);

	(void)worker;
	if (c->state == CONN_BODY)
		fail(c->request, 408, "body late");
	else if (c->state == CONN_DISCARDING)
		conn_close(c);
	else if (c->state == CONN_QUEUED || c->state == CONN_RUNNING)
		stream_late(c->request);
}

void
h1_send_late(struct deadline *d, void *worker)
{
	struct conn *c = conn_of(d);

	(void)worker;
	if (c->state == CONN_RUNNING || c->state == CONN_FLUSHING)
		conn_reset(c); /* a handler learns it from its calls */
}

void
h1_idle_late(struct deadline *d, void *worker)
{
	struct conn *c = conn_of(d);

	(void)worker;
	if (c->state == CONN_IDLE)
		conn_close(c);
}

void
h1_linger_late(struct deadline *d, void *worker)
{
	(void)worker;
	conn_close(conn_of(d));
}

static void
answer_504(struct conn *c)
{
	static const char text[] =
	    "HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/plain\r\n"
	    "Content-Length: 20\r\nConnection: close\r\n\r\n"
	    "504 Gateway Timeout\n";

	/* the socket was idle: it takes this, or the client is gone */
	(void)send(c->fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	conn_linger(c);
}

/* The handler keeps the request, and the client is not kept waiting. */
void
h1_handler_late(struct deadline *d, void *app)
{
	struct pf_request *r = container_of(d, struct pf_request, deadline);
	struct worker *w = r->worker;
	struct conn *c = r->conn;
	struct str method = request_str(r, r->head.method);
	struct str target = request_str(r, r->head.target);
	double s = (double)(clock_now_ns() - r->run_ns) / 1e9;
	bool committed;

	(void)app;
	log_warnx("app %s: %.*s %.*s runs for %.1f s: request_timeout",
	    r->app->settings->name, (int)method.n, method.p,
	    (int)(target.n < TARGET_LOGGED ? target.n : TARGET_LOGGED),
	    target.p, s);
	if ((atomic_load(&r->phase) & REQUEST_RETURNED) == 0) {
		r->stuck = true;
		w->n_stuck++;
		worker_recycle(w, "a handler of app %s is stuck",
		    r->app->settings->name);
	}
	if (c == NULL)
		return;
	committed = gate_abandon(&r->gate);
	r->conn = NULL;
	c->request = NULL;
	SCORE_ADD(w->score, abandoned, 1);
	access_log_add(&w->access_log, r, 504, 0);
	if (committed)
		conn_reset(c);
	else
		answer_504(c);
}
