#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/mock_host.h"

/* ---- the script ---------------------------------------------------------- */

static pf_str
slice(const char *s)
{
	return (pf_str){ s, strlen(s) };
}

void
mock_request(struct pf_request *r, const char *method, const char *target)
{
	const char *query = strchr(target, '?');
	size_t n = query != NULL ? (size_t)(query - target) : strlen(target);

	*r = (struct pf_request){ .length = -1 };
	r->info = (pf_info){
		.size = sizeof(pf_info),
		.http_minor = 1,
		.flags = PF_RF_KEEPALIVE | PF_RF_BODY_DONE,
		.method = slice(method),
		.target = slice(target),
		.path = { target, n },
		.raw_path = { target, n },
		.query = slice(query != NULL ? query + 1 : ""),
		.headers = r->headers,
		.scheme = slice("http"),
		.host = slice("test"),
		.remote_addr = slice("192.0.2.1"),
		.server_addr = slice("192.0.2.2"),
		.remote_port = 1024,
		.server_port = 80,
		.connection_id = 1,
		.sequence = 1,
	};
	if (strcmp(method, "HEAD") == 0)
		r->info.flags |= PF_RF_HEAD;
}

void
mock_header(struct pf_request *r, uint16_t id, const char *name,
    const char *value)
{
	assert_true(r->info.n_headers < MOCK_HEADERS_MAX);
	r->headers[r->info.n_headers++] = (pf_header){
		.name = slice(name),
		.value = slice(value),
		.id = id,
	};
}

static void
add_step(struct pf_request *r, struct mock_step step)
{
	assert_true(r->n_body < MOCK_STEPS_MAX);
	r->body[r->n_body++] = step;
}

void
mock_body(struct pf_request *r, const char *bytes)
{
	add_step(r, (struct mock_step){ .bytes = bytes });
}

void
mock_body_result(struct pf_request *r, int result, int wait)
{
	add_step(r, (struct mock_step){ .result = result, .wait = wait });
}

/* ---- the record ---------------------------------------------------------- */

void
mock_finished(const struct pf_request *r)
{
	assert_int_equal(r->n_done, 1);
	assert_true(r->ended || r->aborted || r->closed || !r->started);
}

const char *
mock_field(const struct pf_request *r, const char *name)
{
	static char value[sizeof r->fields];
	size_t n = strlen(name);

	for (const char *at = r->fields; *at != '\0';) {
		const char *end = strchr(at, '\n');

		if (strncasecmp(at, name, n) == 0 && at[n] == ':') {
			snprintf(value, sizeof value, "%.*s",
			    (int)(end - at - (ptrdiff_t)n - 2), at + n + 2);
			return value;
		}
		at = end + 1;
	}
	return "";
}

void
mock_free(struct pf_request *r)
{
	free(r->sent);
	r->sent = NULL;
}

/* Every call but done() and alive() comes before done(). */
static void
must_be_open(const struct pf_request *r, const char *call)
{
	if (r->n_done > 0)
		fail_msg("%s after done", call);
}

/* ---- settings and log ---------------------------------------------------- */

__attribute__((format(printf, 3, 0))) static void
vmock_log(pf_app *app, int level, const char *fmt, va_list ap)
{
	vsnprintf(app->logged, sizeof app->logged, fmt, ap);
	app->log_level = level;
	app->n_logged++;
}

__attribute__((format(printf, 3, 4))) static void
mock_log(pf_app *app, int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vmock_log(app, level, fmt, ap);
	va_end(ap);
}

/* The text below is not kept. */
__attribute__((format(printf, 4, 5))) static void
mock_log_text(pf_app *app, int level, pf_str text, const char *fmt, ...)
{
	va_list ap;

	if (text.n > 0)
		assert_int_equal(text.p[text.n - 1], '\n');
	va_start(ap, fmt);
	vmock_log(app, level, fmt, ap);
	va_end(ap);
}

static const char *
mock_app_name(pf_app *app)
{
	return app->name;
}

static int
mock_option_at(pf_app *app, size_t i, const char **key, const char **value)
{
	if (i >= sizeof app->options / sizeof app->options[0] ||
	    app->options[i].key == NULL)
		return 0;
	*key = app->options[i].key;
	*value = app->options[i].value;
	return 1;
}

static const char *
mock_option(pf_app *app, const char *wanted, const char *dflt)
{
	const char *key, *value;

	for (size_t i = 0; mock_option_at(app, i, &key, &value); i++)
		if (strcmp(key, wanted) == 0)
			return value;
	return dflt;
}

static const char *
mock_target(pf_app *app)
{
	return app->target;
}

__attribute__((format(printf, 2, 3))) static void
mock_fail(pf_app *app, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(app->failed, sizeof app->failed, fmt, ap);
	va_end(ap);
}

/* ---- the request --------------------------------------------------------- */

static const pf_info *
mock_info(pf_request *r)
{
	must_be_open(r, "info");
	return &r->info;
}

static const pf_header *
mock_header_of(pf_request *r, const char *name)
{
	must_be_open(r, "header");
	for (size_t i = 0; i < r->info.n_headers; i++)
		if (r->headers[i].name.n == strlen(name) &&
		    strncasecmp(r->headers[i].name.p, name, strlen(name)) == 0)
			return &r->headers[i];
	return NULL;
}

static int
mock_peek(pf_request *r, pf_str *out)
{
	const struct mock_step *s = &r->body[r->step];

	must_be_open(r, "peek");
	r->peeked = 0;
	if (r->closed)
		return PF_ECLOSED;
	if (r->step == r->n_body)
		return PF_EOF;
	if (s->result != PF_OK)
		return s->result;
	*out = slice(s->bytes + r->at);
	r->peeked = out->n;
	return PF_OK;
}

static void
mock_consume(pf_request *r, size_t n)
{
	must_be_open(r, "consume");
	if (n > r->peeked)
		fail_msg("consumed %zu of %zu peeked bytes", n, r->peeked);
	r->peeked -= n;
	r->at += n;
	if (r->step < r->n_body && r->body[r->step].bytes != NULL &&
	    r->body[r->step].bytes[r->at] == '\0') {
		r->step++;
		r->at = 0;
	}
}

static size_t
mock_read(pf_request *r, void *buf, size_t n, int *result)
{
	pf_str s;

	*result = mock_peek(r, &s);
	if (*result != PF_OK)
		return 0;
	if (s.n > n)
		s.n = n;
	memcpy(buf, s.p, s.n);
	mock_consume(r, s.n);
	return s.n;
}

static int
mock_wait_readable(pf_request *r, int timeout_ms)
{
	(void)timeout_ms;
	must_be_open(r, "wait_readable");
	r->n_read_waits++;
	if (r->closed)
		return PF_ECLOSED;
	if (r->step == r->n_body || r->body[r->step].result != PF_AGAIN)
		return PF_OK;
	return r->body[r->step++].wait;
}

static int
mock_body_fd(pf_request *r, int64_t *length)
{
	must_be_open(r, "body_fd");
	*length = 0;
	return PF_ENOSYS;
}

static int
mock_alive(pf_request *r)
{
	return !r->closed;
}

/* ---- the response -------------------------------------------------------- */

/* Framing and hop-by-hop fields are prefork's; a value cannot hold a line. */
static bool
header_ok(const pf_header *h)
{
	static const char *const ours[] = { "connection", "keep-alive",
		"proxy-connection", "te", "trailer", "transfer-encoding",
		"upgrade" };

	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
		if (h->name.n == strlen(ours[i]) &&
		    strncasecmp(h->name.p, ours[i], h->name.n) == 0)
			return false;
	return h->name.n > 0 && memchr(h->name.p, ':', h->name.n) == NULL &&
	    (h->value.n == 0 ||
		(memchr(h->value.p, '\n', h->value.n) == NULL &&
		    memchr(h->value.p, '\r', h->value.n) == NULL));
}

static void
record_headers(pf_request *r, const pf_header *h, size_t n)
{
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		if (!header_ok(&h[i]))
			fail_msg("header %zu is not a module's to send", i);
		used += (size_t)snprintf(r->fields + used,
		    sizeof r->fields - used, "%.*s: %.*s\n", (int)h[i].name.n,
		    h[i].name.p, (int)h[i].value.n,
		    h[i].value.n > 0 ? h[i].value.p : "");
		assert_true(used < sizeof r->fields);
	}
}

static int
mock_inform(pf_request *r, unsigned status, const pf_header *h, size_t n)
{
	must_be_open(r, "inform");
	if (r->started)
		fail_msg("inform after start");
	if (status <= 101 || status > 199)
		fail_msg("inform with status %u", status);
	for (size_t i = 0; i < n; i++)
		assert_true(header_ok(&h[i]));
	return PF_OK;
}

static int
mock_start(pf_request *r, unsigned status, pf_str reason, const pf_header *h,
    size_t n, int64_t length)
{
	(void)reason;
	must_be_open(r, "start");
	if (r->started)
		fail_msg("started twice");
	if (status < 200 || status > 599 || length < -1)
		fail_msg("start with status %u, length %lld", status,
		    (long long)length);
	if (r->start_result < 0)
		return r->start_result;
	record_headers(r, h, n);
	r->status = status;
	r->length = length;
	r->started = true;
	return PF_OK;
}

/* Has the rules of every call that sends body bytes; n of them. */
static void
check_send(pf_request *r, const char *call, size_t n)
{
	must_be_open(r, call);
	if (!r->started || r->ended)
		fail_msg("%s %s", call,
		    r->ended ? "after end" : "before start");
	if (r->must_wait)
		fail_msg("%s over the high-water mark", call);
	if (r->length >= 0 && (int64_t)(r->n_sent + n) > r->length)
		fail_msg("%zu bytes more than announced",
		    r->n_sent + n - (size_t)r->length);
}

static void
record_bytes(pf_request *r, const void *p, size_t n)
{
	r->sent = realloc(r->sent, r->n_sent + n + 1);
	assert_non_null(r->sent);
	if (n > 0)
		memcpy(r->sent + r->n_sent, p, n);
	r->n_sent += n;
	r->sent[r->n_sent] = '\0';
}

static int
mock_end(pf_request *r)
{
	r->must_wait = false; /* nothing more to hold back */
	check_send(r, "end", 0);
	if (!r->closed && r->length > (int64_t)r->n_sent)
		fail_msg("%zu of %lld announced bytes", r->n_sent,
		    (long long)r->length);
	r->ended = true;
	return r->closed ? PF_ECLOSED : PF_OK;
}

/* What the script says of this write. */
static int
write_result(pf_request *r, unsigned flags)
{
	int result = r->n_write_calls < r->n_writes ?
	    r->writes[r->n_write_calls] :
	    PF_OK;

	r->n_write_calls++;
	r->closed |= result == PF_ECLOSED;
	r->must_wait = result == PF_AGAIN;
	if ((flags & PF_END) != 0 && result >= 0)
		(void)mock_end(r);
	return r->closed ? PF_ECLOSED : result;
}

static int
mock_write(pf_request *r, const pf_buf *bufs, size_t n, unsigned flags)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += bufs[i].n;
	check_send(r, "write", size);
	for (size_t i = 0; i < n; i++) {
		record_bytes(r, bufs[i].p, bufs[i].n);
		if (bufs[i].release != NULL)
			bufs[i].release(bufs[i].ud);
	}
	return write_result(r, flags);
}

static int
mock_sendfile(pf_request *r, int fd, int64_t offset, int64_t length,
    unsigned flags)
{
	char *p = malloc((size_t)length + 1);

	assert_non_null(p);
	check_send(r, "sendfile", (size_t)length);
	assert_int_equal(pread(fd, p, (size_t)length, offset), length);
	record_bytes(r, p, (size_t)length);
	free(p);
	if ((flags & PF_TAKE_FD) != 0)
		close(fd);
	return write_result(r, flags);
}

static int
mock_wait_writable(pf_request *r, int timeout_ms)
{
	(void)timeout_ms;
	must_be_open(r, "wait_writable");
	r->n_write_waits++;
	r->must_wait = false;
	return r->closed ? PF_ECLOSED : r->wait_writable;
}

static void
mock_abort(pf_request *r)
{
	must_be_open(r, "abort");
	r->aborted = true;
}

static void
mock_done(pf_request *r)
{
	must_be_open(r, "done");
	r->n_done++;
}

static int
mock_respond(pf_request *r, unsigned status, const pf_header *h, size_t n,
    const pf_buf *bufs, size_t n_bufs)
{
	size_t size = 0;
	int result;

	for (size_t i = 0; i < n_bufs; i++)
		size += bufs[i].n;
	result = mock_start(r, status, (pf_str){ 0 }, h, n, (int64_t)size);
	if (result < 0) {
		for (size_t i = 0; i < n_bufs; i++)
			if (bufs[i].release != NULL)
				bufs[i].release(bufs[i].ud);
		return result;
	}
	(void)mock_write(r, bufs, n_bufs, PF_END);
	mock_done(r);
	return PF_OK;
}

/* "app.KEY" of the test's options. */
static const char *
mock_setting(pf_app *app, const char *name)
{
	return strncmp(name, "app.", 4) == 0 ?
	    mock_option(app, name + 4, NULL) :
	    NULL;
}

static void
mock_lock_waited(pf_request *r, uint64_t ns)
{
	(void)r;
	(void)ns;
}

const pf_host mock_host = {
	.abi = PREFORK_ABI,
	.size = sizeof(pf_host),
	.log = mock_log,
	.app_name = mock_app_name,
	.option = mock_option,
	.option_at = mock_option_at,
	.target = mock_target,
	.fail = mock_fail,
	.info = mock_info,
	.header = mock_header_of,
	.peek = mock_peek,
	.consume = mock_consume,
	.read = mock_read,
	.wait_readable = mock_wait_readable,
	.body_fd = mock_body_fd,
	.alive = mock_alive,
	.inform = mock_inform,
	.start = mock_start,
	.write = mock_write,
	.sendfile = mock_sendfile,
	.wait_writable = mock_wait_writable,
	.end = mock_end,
	.abort = mock_abort,
	.done = mock_done,
	.respond = mock_respond,
	.setting = mock_setting,
	.lock_waited = mock_lock_waited,
	.log_text = mock_log_text,
};
