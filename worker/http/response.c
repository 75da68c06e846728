#include <stdio.h>
#include <string.h>

#include "common/fd.h"
#include "common/log.h"
#include "conf/settings.h"
#include "worker/core.h"
#include "worker/http/response.h"
#include "worker/http/response_head.h"
#include "worker/http/status.h"
#include "worker/request.h"

#define SMALL_BYTES   8192 /* head and body together: copied, one write */
#define CHUNK_MAX     20   /* "\r\n", 16 digits, "\r\n" */
#define PARTS_OF_BODY (GATE_PARTS_MAX - 4) /* head, size line, CRLF, end */

/* A buffer that is written before it is read: not worth clearing. */
#define UNINITIALIZED __attribute__((uninitialized))

/* ---- the head ---------------------------------------------------------- */

/* The loop may find the body wrong while the handler answers. */
static bool
stream_failed(struct pf_request *r)
{
	bool failed;

	if (!r->body_shared)
		return false;
	pthread_mutex_lock(&r->gate.lock);
	failed = r->body.error != 0;
	pthread_mutex_unlock(&r->gate.lock);
	return failed;
}

/* RFC 9110 15.3.5, 15.3.6, 15.4.5: whoever asks. */
static bool
has_no_body(unsigned status)
{
	return status == 204 || status == 205 || status == 304;
}

/* A client of HTTP/1.1 can be told chunk by chunk, an older one by closing.
 * One that waits for 100 Continue may send its body all the same, or its next
 * request: nobody could tell (RFC 9110 10.1.1). */
static struct response_framing
framing_of(struct pf_request *r)
{
	struct response *p = &r->response;
	bool http11 = r->head.minor >= 1;
	struct response_framing f = { .length = p->length };

	if (p->status == 204 || p->status == 304)
		f.length = -1;
	else if (p->status == 205)
		f.length = 0; /* who reads it looks for a body */
	else if (p->length < 0 && !p->bodiless) {
		p->chunked = f.chunked = http11;
		p->close |= !http11;
	}
	p->close |= !r->keep || r->continue_wanted || stream_failed(r) ||
	    atomic_load_explicit(&r->worker->retiring, memory_order_relaxed);
	f.close = p->close;
	f.say_keepalive = !p->close && !http11;
	return f;
}

static void
response_begin(struct pf_request *r, const struct response_head *h,
    int64_t length)
{
	r->response = (struct response){
		.status = (uint16_t)h->status,
		.started = true,
		.length = length >= 0 ? length : h->length,
		.bodiless = r->head.method_id == H1_METHOD_HEAD ||
		    has_no_body(h->status),
	};
}

static struct response_head
head_of(struct pf_request *r, unsigned status, pf_str reason,
    const pf_header *headers, size_t n)
{
	return (struct response_head){
		.status = status,
		.reason = reason,
		.headers = headers,
		.n_headers = n,
		.server_header = r->worker->settings->server_header,
	};
}

int
response_start(struct pf_request *r, unsigned status, pf_str reason,
    const pf_header *headers, size_t n, int64_t length)
{
	struct response_head h = head_of(r, status, reason, headers, n);
	char *head;

	if (r->response.started)
		return PF_ESTATE;
	if (response_head_check(&h) != PF_OK || length < -1 ||
	    (length >= 0 && h.length >= 0 && length != h.length))
		return PF_EINVAL;
	head = arena_alloc(&r->arena, h.room);
	if (head == NULL)
		return PF_ENOMEM;
	response_begin(r, &h, length);
	r->response.head = head;
	r->response.head_n = response_head_write(&h, head);
	return PF_OK;
}

/* ---- the body ---------------------------------------------------------- */

static size_t
bufs_size(const pf_buf *bufs, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += bufs[i].n;
	return sum;
}

static void
bufs_release(const pf_buf *bufs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (bufs[i].release != NULL)
			bufs[i].release(bufs[i].ud);
}

/* One write: what goes out, in order, and the room for its framing. */
struct outgoing {
	struct gate_part part[GATE_PARTS_MAX];
	size_t n;
	char size_line[CHUNK_MAX];
};

static void
add(struct outgoing *o, const void *p, size_t n)
{
	if (n > 0)
		o->part[o->n++] = (struct gate_part){ .p = p, .n = n };
}

/* The head, if it has not been sent yet; n_body bytes are all if `last`. */
static void
add_head(struct pf_request *r, struct outgoing *o, size_t n_body, bool last)
{
	struct response *p = &r->response;
	struct response_framing f;

	if (p->head_sent)
		return;
	if (last && p->length < 0 && !p->bodiless)
		p->length = (int64_t)n_body; /* known after all */
	f = framing_of(r);
	p->head_n += response_framing_write(&f, p->head + p->head_n);
	p->head_sent = true;
	add(o, p->head, p->head_n);
}

static void
add_size_line(struct pf_request *r, struct outgoing *o, size_t n)
{
	int len;

	if (!r->response.chunked || n == 0)
		return;
	len = snprintf(o->size_line, sizeof o->size_line, "%zx\r\n", n);
	add(o, o->size_line, (size_t)len);
}

static void
add_chunk_end(struct pf_request *r, struct outgoing *o, size_t n, bool last)
{
	if (!r->response.chunked)
		return;
	if (n > 0)
		add(o, "\r\n", 2);
	if (last)
		add(o, "0\r\n\r\n", 5);
}

static int
outgoing_send(struct pf_request *r, struct outgoing *o, enum gate_order order)
{
	int result;
	bool queued;

	pthread_mutex_lock(&r->gate.lock);
	result = gate_send(&r->gate, o->part, o->n, order);
	r->gate.committed |= result >= 0 && r->response.head_sent;
	queued = r->gate.first != NULL && !r->gate.deferred;
	pthread_mutex_unlock(&r->gate.lock);
	for (size_t i = 0; i < o->n; i++)
		if (o->part[i].release != NULL)
			o->part[i].release(o->part[i].ud);
	if (queued)
		mail_send(&r->worker->mailbox, r, MAIL_FLUSH);
	return result;
}

/* Of a HEAD request that is no mistake: a handler may treat it as GET, so that
 * the length of the body is known (RFC 9110 9.3.2). */
static void
body_left_out(struct pf_request *r, int64_t n)
{
	unsigned status = r->response.status;
	struct str method = request_str(r, r->head.method);
	struct str target = request_target_logged(r);

	if (n == 0 || r->head.method_id == H1_METHOD_HEAD ||
	    atomic_exchange(&r->app->told_bodiless, true))
		return;
	log_warnx("app %s: %.*s %.*s: a response of status %u has no body: "
		  "left out, here and from now on",
	    r->app->settings->name, (int)method.n, method.p, (int)target.n,
	    target.p, status);
}

/* What of a write the client may see: PF_OK, or why none of it. */
static int
write_check(struct pf_request *r, int64_t n)
{
	struct response *p = &r->response;

	if (!p->started || p->ended)
		return PF_ESTATE;
	if (p->length >= 0 && n > p->length - p->written && !p->bodiless)
		return PF_ESTATE;
	return PF_OK;
}

/* At most PARTS_OF_BODY buffers. */
static int
write_some(struct pf_request *r, const pf_buf *bufs, size_t n, bool last)
{
	struct outgoing o UNINITIALIZED;
	size_t size = bufs_size(bufs, n);

	o.n = 0;
	add_head(r, &o, size, last);
	if (r->response.bodiless) {
		bufs_release(bufs, n);
	} else {
		add_size_line(r, &o, size);
		for (size_t i = 0; i < n; i++) {
			if (bufs[i].n == 0) {
				bufs_release(&bufs[i], 1);
				continue;
			}
			o.part[o.n++] = (struct gate_part){ bufs[i].p,
				bufs[i].n, bufs[i].release, bufs[i].ud };
		}
		add_chunk_end(r, &o, size, last);
	}
	last |= r->response.written == r->response.length;
	return outgoing_send(r, &o, last ? GATE_LAST : GATE_NEXT);
}

int
response_write(struct pf_request *r, const pf_buf *bufs, size_t n,
    unsigned flags)
{
	size_t size = bufs_size(bufs, n), step;
	bool end = (flags & PF_END) != 0;
	int result = write_check(r, (int64_t)size);

	if (result != PF_OK || (size == 0 && !end)) {
		bufs_release(bufs, n);
		return result;
	}
	if (r->response.bodiless)
		body_left_out(r, (int64_t)size);
	r->response.written += (int64_t)size;
	if (end && r->response.length > r->response.written)
		end = false; /* short: response_end() below says so */
	else
		r->response.ended = end;
	do {
		step = n < PARTS_OF_BODY ? n : PARTS_OF_BODY;
		if (result < 0)
			bufs_release(bufs, step);
		else
			result = write_some(r, bufs, step, end && step == n);
		bufs += step;
		n -= step;
	} while (n > 0);
	if ((flags & PF_END) != 0 && !end && result >= 0)
		return response_end(r);
	return result;
}

/* The caller owns the fd. */
static int
sendfile_some(struct pf_request *r, int fd, int64_t offset, int64_t length,
    bool last)
{
	struct outgoing o UNINITIALIZED;
	bool has_body = !r->response.bodiless && length > 0, queued;
	enum gate_order then = last ? GATE_LAST : GATE_NEXT;
	int result = PF_OK;

	o.n = 0;
	add_head(r, &o, (size_t)length, last);
	if (has_body)
		add_size_line(r, &o, (size_t)length);
	if (o.n > 0)
		result = outgoing_send(r, &o, has_body ? GATE_MORE : then);
	if (has_body && result >= 0) {
		pthread_mutex_lock(&r->gate.lock);
		result = gate_sendfile(&r->gate, fd, offset, length);
		queued = r->gate.first != NULL;
		pthread_mutex_unlock(&r->gate.lock);
		if (queued)
			mail_send(&r->worker->mailbox, r, MAIL_FLUSH);
	}
	o.n = 0;
	add_chunk_end(r, &o, (size_t)length, last);
	if (o.n > 0 && result >= 0 && !r->response.bodiless)
		result = outgoing_send(r, &o, then);
	return result;
}

int
response_sendfile(struct pf_request *r, int fd, int64_t offset, int64_t length,
    unsigned flags)
{
	bool end = (flags & PF_END) != 0;
	int result =
	    offset < 0 || length < 0 ? PF_EINVAL : write_check(r, length);

	if (result == PF_OK) {
		if (r->response.bodiless)
			body_left_out(r, length);
		r->response.written += length;
		if (end && r->response.length <= r->response.written)
			r->response.ended = true;
		result =
		    sendfile_some(r, fd, offset, length, r->response.ended);
		if (end && !r->response.ended && result >= 0)
			result = response_end(r);
	}
	if ((flags & PF_TAKE_FD) != 0)
		fd_close(&fd);
	return result;
}

static void
log_short(const struct pf_request *r)
{
	struct str method = request_str(r, r->head.method);
	struct str target = request_target_logged(r);

	log_warnx("app %s: response to %.*s %.*s is %lld bytes short of its "
		  "Content-Length; connection cut",
	    r->app->settings->name, (int)method.n, method.p, (int)target.n,
	    target.p, (long long)(r->response.length - r->response.written));
}

int
response_end(struct pf_request *r)
{
	struct response *p = &r->response;

	if (!p->started || p->ended)
		return PF_ESTATE;
	if (p->length > p->written && !p->bodiless) {
		if (!gate_is_abandoned(&r->gate))
			log_short(r);
		response_abort(r);
		return PF_ESTATE;
	}
	p->ended = true;
	return write_some(r, NULL, 0, true);
}

void
response_abort(struct pf_request *r)
{
	if (r->response.ended)
		return;
	if (!r->response.started)
		r->response.status = 500; /* for the access log */
	r->response.ended = true;
	r->response.cut = true;
	r->response.close = true;
}

/* ---- whole responses --------------------------------------------------- */

/* Head and body in one buffer and one write. */
static int
respond_small(struct pf_request *r, const struct response_head *h,
    const pf_buf *bufs, size_t n_bufs)
{
	char out[SMALL_BYTES] UNINITIALIZED;
	struct outgoing o UNINITIALIZED;
	struct response_framing f = framing_of(r);
	size_t n = response_head_write(h, out);

	n += response_framing_write(&f, out + n);
	r->response.head_n = n;
	for (size_t i = 0; i < n_bufs && !r->response.bodiless; i++) {
		if (bufs[i].n > 0)
			memcpy(out + n, bufs[i].p, bufs[i].n);
		n += bufs[i].n;
	}
	bufs_release(bufs, n_bufs);
	r->response.head_sent = true;
	r->response.ended = true;
	o.n = 0;
	add(&o, out, n);
	return outgoing_send(r, &o, GATE_LAST);
}

int
response_respond(struct pf_request *r, unsigned status,
    const pf_header *headers, size_t n, const pf_buf *bufs, size_t n_bufs)
{
	struct response_head h = head_of(r, status, (pf_str){ 0 }, headers, n);
	size_t size = bufs_size(bufs, n_bufs);
	int result;

	if (r->response.started)
		result = PF_ESTATE;
	else if (response_head_check(&h) != PF_OK ||
	    (h.length >= 0 && h.length != (int64_t)size && status != 304 &&
		r->head.method_id != H1_METHOD_HEAD))
		result = PF_EINVAL;
	else
		result = PF_OK;
	if (result != PF_OK) {
		bufs_release(bufs, n_bufs);
		return result;
	}
	if (h.room + size <= SMALL_BYTES) {
		response_begin(r, &h, h.length >= 0 ? h.length : (int64_t)size);
		r->response.written = (int64_t)size;
		if (r->response.bodiless)
			body_left_out(r, (int64_t)size);
		result = respond_small(r, &h, bufs, n_bufs);
	} else {
		result = response_start(r, status, (pf_str){ 0 }, headers, n,
		    h.length >= 0 ? h.length : (int64_t)size);
		if (result == PF_OK)
			result = response_write(r, bufs, n_bufs, PF_END);
		else
			bufs_release(bufs, n_bufs);
	}
	/* a client that is gone is no mistake of the module: it is done */
	return result == PF_AGAIN || result == PF_ECLOSED ? PF_OK : result;
}

int
response_error(struct pf_request *r, unsigned status, unsigned retry_after_s)
{
	struct str reason = status_reason(status);
	char text[64], seconds[16];
	int n = snprintf(text, sizeof text, "%u %.*s\n", status, (int)reason.n,
	    reason.p);
	pf_header h[2] = {
		{ .name = { "Content-Type", 12 },
		    .value = { "text/plain", 10 } },
		{ .name = { "Retry-After", 11 } },
	};
	pf_buf body = { .p = text, .n = (size_t)n };

	h[1].value.n =
	    (size_t)snprintf(seconds, sizeof seconds, "%u", retry_after_s);
	h[1].value.p = seconds;
	return response_respond(r, status, h, retry_after_s > 0 ? 2 : 1, &body,
	    1);
}

/* ---- interim responses ------------------------------------------------- */

static int
interim_send(struct pf_request *r, const char *p, size_t n)
{
	struct outgoing o UNINITIALIZED;

	o.n = 0;
	add(&o, p, n);
	return outgoing_send(r, &o, GATE_NEXT);
}

void
response_continue(struct pf_request *r)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (!r->continue_wanted || r->response.head_sent)
		return;
	r->continue_wanted = false;
	(void)interim_send(r, text, sizeof text - 1);
}

int
response_inform(struct pf_request *r, unsigned status, const pf_header *headers,
    size_t n)
{
	struct response_head h = head_of(r, 200, (pf_str){ 0 }, headers, n);
	char *out;
	size_t size;

	if (r->response.started)
		return PF_ESTATE;
	if (status <= 101 || status > 199 || response_head_check(&h) != PF_OK ||
	    h.length >= 0)
		return PF_EINVAL;
	if (r->head.minor < 1)
		return PF_OK; /* RFC 9110 15.2: not to a client of 1.0 */
	out = arena_alloc(&r->arena, h.room);
	if (out == NULL)
		return PF_ENOMEM;
	h.status = status;
	h.server_header = false;
	h.has_date = true;
	size = response_head_write(&h, out);
	out[size++] = '\r';
	out[size++] = '\n';
	return interim_send(r, out, size);
}
