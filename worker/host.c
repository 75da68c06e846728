/* The table of functions that modules receive: struct pf_host. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "conf/load.h"
#include "conf/settings.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/http/field.h"
#include "worker/request.h"

/* ---- settings and log -------------------------------------------------- */

#define LOG_BYTES 2048 /* of a module's line */

__attribute__((format(printf, 4, 0))) static void
vlog_text(const pf_app *app, int level, pf_str below, const char *fmt,
    va_list ap)
{
	char line[LOG_BYTES];

	vsnprintf(line, sizeof line, fmt, ap);
	if (level < PF_LOG_ERROR)
		level = PF_LOG_ERROR;
	if (level > PF_LOG_DEBUG)
		level = PF_LOG_DEBUG;
	log_text_at((enum log_level)level, below.p, below.n, "app %s: %s",
	    app->settings->name, line);
}

__attribute__((format(printf, 3, 4))) static void
host_log(pf_app *app, int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog_text(app, level, (pf_str){ .n = 0 }, fmt, ap);
	va_end(ap);
}

__attribute__((format(printf, 4, 5))) static void
host_log_text(pf_app *app, int level, pf_str below, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog_text(app, level, below, fmt, ap);
	va_end(ap);
}

static const char *
host_app_name(pf_app *app)
{
	return app->settings->name;
}

static const char *
host_option(pf_app *app, const char *key, const char *dflt)
{
	for (size_t i = 0; i < app->settings->n_options; i++)
		if (strcmp(app->settings->options[i].key, key) == 0)
			return app->settings->options[i].value;
	return dflt;
}

static int
host_option_at(pf_app *app, size_t i, const char **key, const char **value)
{
	if (i >= app->settings->n_options)
		return 0;
	*key = app->settings->options[i].key;
	*value = app->settings->options[i].value;
	return 1;
}

static const char *
host_target(pf_app *app)
{
	return app->settings->target;
}

__attribute__((format(printf, 2, 3))) static void
host_fail(pf_app *app, const char *fmt, ...)
{
	va_list ap;

	free(app->fail_text);
	va_start(ap, fmt);
	if (vasprintf(&app->fail_text, fmt, ap) < 0)
		app->fail_text = NULL;
	va_end(ap);
}

/* Kept until the app is closed. */
static const char *
host_setting(pf_app *app, const char *name)
{
	struct setting_text *t = malloc(sizeof *t);

	if (t == NULL)
		return NULL;
	t->text = setting_text(app->server, app->settings, name);
	if (t->text == NULL) {
		free(t);
		return NULL;
	}
	t->next = app->setting_texts;
	app->setting_texts = t;
	return t->text;
}

/* ---- the request ------------------------------------------------------- */

static const pf_header *
host_header(pf_request *r, const char *name)
{
	const pf_info *info = request_info(r);
	struct str wanted = { name, strlen(name) };

	for (size_t i = 0; i < info->n_headers; i++) {
		pf_str n = info->headers[i].name;

		if (field_name_eq((struct str){ n.p, n.n }, wanted))
			return &info->headers[i];
	}
	return NULL;
}

/* The body is the handler's alone, unless the loop still feeds it. */
static void
body_lock(pf_request *r)
{
	if (r->body_shared)
		pthread_mutex_lock(&r->gate.lock);
}

static void
body_unlock(pf_request *r)
{
	if (r->body_shared)
		pthread_mutex_unlock(&r->gate.lock);
}

static int
host_peek(pf_request *r, pf_str *out)
{
	int result;

	response_continue(r);
	body_lock(r);
	result = body_peek(&r->body, out);
	if (result == PF_AGAIN && r->gate.abandoned)
		result = PF_ECLOSED;
	body_unlock(r);
	return result;
}

static void
host_consume(pf_request *r, size_t n)
{
	bool loop_waits;

	body_lock(r);
	loop_waits = body_consume(&r->body, n);
	body_unlock(r);
	if (loop_waits)
		mail_send(&r->worker->mailbox, r, MAIL_READ);
}

static size_t
host_read(pf_request *r, void *buf, size_t n, int *result)
{
	pf_str s;

	*result = host_peek(r, &s);
	if (*result != PF_OK)
		return 0;
	if (s.n > n)
		s.n = n;
	memcpy(buf, s.p, s.n);
	host_consume(r, s.n);
	return s.n;
}

static int
host_body_fd(pf_request *r, int64_t *length)
{
	if (r->body.place != BODY_FILE)
		return PF_ENOSYS;
	*length = (int64_t)r->body.received;
	return r->body.fd;
}

static int
host_alive(pf_request *r)
{
	struct pollfd p = { .events = 0 };
	int alive = 0;

	pthread_mutex_lock(&r->gate.lock);
	if (!r->gate.abandoned) {
		p.fd = r->gate.fd;
		alive = poll(&p, 1, 0) <= 0 ||
		    (p.revents & (POLLHUP | POLLERR | POLLNVAL)) == 0;
	}
	pthread_mutex_unlock(&r->gate.lock);
	return alive;
}

/* ---- waiting ----------------------------------------------------------- */

/* Does the wait go on?  The lock of the gate is held. */
typedef bool waits_fn(pf_request *);

static bool
waits_for_bytes(pf_request *r)
{
	return r->body_shared && r->body.used == 0 && !r->body.complete &&
	    r->body.error == 0;
}

static bool
waits_for_room(pf_request *r)
{
	return r->gate.queued_bytes >= GATE_LOW_BYTES;
}

/* The lock of the gate is held. */
static int
wait_for(pf_request *r, waits_fn *waits, int timeout_ms)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * (long)NS_PER_MS;
	if (until.tv_nsec >= (long)NS_PER_S) {
		until.tv_nsec -= (long)NS_PER_S;
		until.tv_sec++;
	}
	r->gate.waited = true;
	while (!r->gate.abandoned && waits(r) && err != ETIMEDOUT)
		err = timeout_ms < 0 ?
		    pthread_cond_wait(&r->gate.changed, &r->gate.lock) :
		    pthread_cond_timedwait(&r->gate.changed, &r->gate.lock,
			&until);
	r->gate.waited = false;
	if (r->gate.abandoned)
		return PF_ECLOSED;
	return waits(r) ? PF_ETIMEOUT : PF_OK;
}

static int
wait_until(pf_request *r, waits_fn *waits, int timeout_ms)
{
	int result = PF_OK;
	bool must_wait;

	pthread_mutex_lock(&r->gate.lock);
	must_wait = !r->gate.abandoned && waits(r);
	pthread_mutex_unlock(&r->gate.lock);
	/* the loop must turn for the wait to end */
	if (must_wait && !baton_before_wait(&r->worker->baton))
		return PF_ENOMEM;
	if (must_wait)
		baton_held_up(&r->worker->baton);
	pthread_mutex_lock(&r->gate.lock);
	result = wait_for(r, waits, timeout_ms);
	pthread_mutex_unlock(&r->gate.lock);
	if (must_wait)
		baton_goes_on(&r->worker->baton);
	return result;
}

static int
host_wait_readable(pf_request *r, int timeout_ms)
{
	response_continue(r);
	return wait_until(r, waits_for_bytes, timeout_ms);
}

static int
host_wait_writable(pf_request *r, int timeout_ms)
{
	return wait_until(r, waits_for_room, timeout_ms);
}

static void
host_lock_waited(pf_request *r, uint64_t ns)
{
	baton_lock_waited(&r->worker->baton, r, ns);
}

/* ---- the end ----------------------------------------------------------- */

/* A module that forgot its response must not leave a client waiting. */
static void
complete_response(pf_request *r)
{
	if (r->response.ended)
		return;
	if (!r->response.started) {
		/* a module that was told PF_ECLOSED need not answer */
		if (!gate_is_abandoned(&r->gate))
			log_errorx("app %s: done without a response",
			    r->app->settings->name);
		(void)response_error(r, 500, 0);
		return;
	}
	response_abort(r);
}

static void
host_done(pf_request *r)
{
	complete_response(r);
	/* on_request has returned: nobody else will tell the loop */
	if ((atomic_fetch_or(&r->phase, REQUEST_DONE) & REQUEST_RETURNED) != 0)
		mail_send(&r->worker->mailbox, r, MAIL_FINISHED);
}

static int
host_respond(pf_request *r, unsigned status, const pf_header *headers, size_t n,
    const pf_buf *bufs, size_t n_bufs)
{
	int result = response_respond(r, status, headers, n, bufs, n_bufs);

	if (result == PF_OK)
		host_done(r);
	return result;
}

const pf_host request_host = {
	.abi = PREFORK_ABI,
	.size = sizeof(pf_host),
	.log = host_log,
	.app_name = host_app_name,
	.option = host_option,
	.option_at = host_option_at,
	.target = host_target,
	.fail = host_fail,
	.info = request_info,
	.header = host_header,
	.peek = host_peek,
	.consume = host_consume,
	.read = host_read,
	.wait_readable = host_wait_readable,
	.body_fd = host_body_fd,
	.alive = host_alive,
	.inform = response_inform,
	.start = response_start,
	.write = response_write,
	.sendfile = response_sendfile,
	.wait_writable = host_wait_writable,
	.end = response_end,
	.abort = response_abort,
	.done = host_done,
	.respond = host_respond,
	.setting = host_setting,
	.lock_waited = host_lock_waited,
	.log_text = host_log_text,
};
