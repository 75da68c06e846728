/* What proxies say of their clients: the PROXY header of a connection, the
 * fields of a request. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/heritage.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "conf/settings.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/http/field.h"
#include "worker/http/forwarded.h"
#include "worker/http/h1_conn.h"
#include "worker/net/per_ip.h"
#include "worker/net/proxy_protocol.h"
#include "worker/request.h"

#define NAME_LOGGED       64  /* bytes of a field's name in the error log */
#define REQUEST_ID_LENGTH 128 /* of one that is kept */

/* ---- the PROXY header ---------------------------------------------------- */

void
h1_proxy_refused(struct worker *w, const struct peer *peer,
    const struct heritage_listener *listener, const char *why)
{
	char addr[PEER_TEXT_MAX];
	unsigned held;

	SCORE_ADD(w->score, proxy_refused, 1);
	if (!told_now(&w->proxy_told, w->now_ns, &held))
		return;
	if (peer_text(peer, addr) == 0)
		memcpy(addr, "unix", 5);
	log_warnx("closed a connection of %s to %s: PROXY header: %s (and %u "
		  "others)",
	    addr, listener->spec, why, held);
}

static void
refuse(struct conn *c, const char *why)
{
	h1_proxy_refused(c->worker, &c->peer, c->listener, why);
	conn_close(c);
}

void
h1_proxy_late(struct conn *c)
{
	if (c->request != NULL)
		refuse(c, "it is late");
	else
		conn_close(c); /* connected and said nothing */
}

/* A client that is not named may be anybody: nothing it says is believed.
 * false: it has too many connections. */
static bool
client_take(struct conn *c, const struct proxy_header *h)
{
	enum per_ip per_ip;

	switch (h->kind) {
	case PROXY_OWN: return true;
	case PROXY_HIDDEN: c->trusted = false; return true;
	case PROXY_CLIENT: break;
	}
	c->peer = h->client;
	c->trusted =
	    peer_is_trusted(&c->peer, &c->worker->settings->proxy_trust);
	per_ip = per_ip_take(c->worker, &c->peer, c->trusted);
	c->counted = per_ip == PER_IP_COUNTED;
	return per_ip != PER_IP_FULL;
}

/* What came behind the header is the client's. */
static void
begin_http(struct conn *c, struct pf_request *r, const struct proxy_header *h)
{
	if (!client_take(c, h)) {
		per_ip_refuse(c->worker, c->fd, &c->peer);
		conn_close(c);
		return;
	}
	r->peer = c->peer;
	r->buf_used -= (uint32_t)h->length;
	memmove(r->buf, r->buf + h->length, r->buf_used);
	if (r->buf_used > 0) {
		c->state = CONN_HEAD;
		h1_parse_head(c, r);
		return;
	}
	c->state = CONN_IDLE; /* the time of a head is running */
	c->request = NULL;
	request_free(r);
}

static void
header_parse(struct conn *c, struct pf_request *r)
{
	struct proxy_header h;
	enum proxy_result result = proxy_protocol_read(r->buf, r->buf_used, &h);

	if (result == PROXY_OK)
		begin_http(c, r, &h);
	else if (result != PROXY_MORE)
		refuse(c, proxy_result_text(result));
	else if (!request_grow(r, PROXY_HEADER_MAX))
		refuse(c, "out of memory");
}

void
h1_read_proxy(struct conn *c)
{
	struct pf_request *r = c->request;
	ssize_t n;

	if (r == NULL)
		r = c->request = request_new(c->worker, c);
	if (r == NULL) {
		log_warn("connection closed");
		conn_close(c);
		return;
	}
	n = read(c->fd, r->buf + r->buf_used, r->buf_size - r->buf_used);
	if (n > 0) {
		r->buf_used += (uint32_t)n;
		header_parse(c, r);
	} else if (n == 0 && r->buf_used > 0) {
		refuse(c, "it is cut short");
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		conn_close(c);
	}
}

/* ---- fields -------------------------------------------------------------- */

/* At level info: any client can cause it. */
static void
tell_dropped(struct pf_request *r, struct h1_span name, const char *why)
{
	struct str s = request_str(r, name);
	char addr[PEER_TEXT_MAX];
	unsigned held;

	if (!told_now(&r->worker->field_told, r->worker->now_ns, &held))
		return;
	if (peer_text(&r->peer, addr) == 0)
		memcpy(addr, "unix", 5);
	log_info("dropped field %.*s of %s: %s (and %u others)",
	    (int)(s.n < NAME_LOGGED ? s.n : NAME_LOGGED), s.p, addr, why, held);
}

static void
fields_left_out(struct pf_request *r)
{
	SCORE_ADD(r->worker->score, fields_dropped, r->head.n_dropped);
	tell_dropped(r, r->head.dropped,
	    "its name is Proxy or has a _, which an application would confuse");
}

/* A good X-Request-Id: visible ASCII, and not so long as to fill a log. */
static bool
request_id_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.n > 0 && s.n <= REQUEST_ID_LENGTH;
}

/* NULL, or why neither we nor the application take it from this peer. */
static const char *
why_drop(const struct pf_request *r, const struct h1_field *f)
{
	unsigned fields = r->worker->settings->proxy_fields, bit;

	if (!field_is_forwarding(f->id, request_str(r, f->name)))
		return NULL;
	if (!r->conn->trusted)
		return "not in proxy.trust";
	switch (f->id) {
	case PF_H_FORWARDED: bit = FORWARDING_FORWARDED; break;
	case PF_H_X_FORWARDED_FOR: bit = FORWARDING_X_FOR; break;
	case PF_H_X_FORWARDED_PROTO: bit = FORWARDING_X_PROTO; break;
	case PF_H_X_FORWARDED_HOST: bit = FORWARDING_X_HOST; break;
	case PF_H_X_REQUEST_ID:
		return f->flags == 0 &&
			request_id_ok(request_str(r, f->value)) ?
		    NULL :
		    "malformed or given twice";
	default: return NULL;
	}
	return (fields & bit) != 0 ? NULL : "not in proxy.fields";
}

static void
drop_fields(struct pf_request *r)
{
	struct h1_head *h = &r->head;
	uint32_t n = 0;

	for (uint32_t i = 0; i < h->n_fields; i++) {
		const char *why = why_drop(r, &h->field[i]);

		if (why == NULL) {
			h->field[n++] = h->field[i];
			continue;
		}
		SCORE_ADD(r->worker->score, forwarding_dropped, 1);
		tell_dropped(r, h->field[i].name, why);
	}
	h->n_fields = n;
}

/* Outlives f, in which it may lie.  false: no memory. */
static bool
host_take(struct pf_request *r, const struct forwarded *f)
{
	char *copy;

	r->host = f->host;
	if (f->host.p != f->unquoted)
		return true;
	copy = arena_alloc(&r->arena, f->host.n);
	if (copy == NULL)
		return false;
	memcpy(copy, f->host.p, f->host.n);
	r->host.p = copy;
	return true;
}

/* What a trusted proxy says. */
static bool
forwarding_take(struct pf_request *r)
{
	struct forwarded f;
	enum h1_result result = forwarded_read(&r->head, r->buf,
	    &r->worker->settings->proxy_trust, &f);

	if (result != H1_OK) {
		h1_fail(r, h1_result_status(result), h1_result_text(result));
		return false;
	}
	if (f.host.n > 0 && !host_take(r, &f)) {
		h1_fail(r, 500, "no memory for the host");
		return false;
	}
	if (f.client.family != 0)
		r->peer = f.client;
	r->is_https = f.proto == FORWARDED_PROTO_HTTPS;
	return true;
}

bool
h1_proxied_fields(struct pf_request *r)
{
	if (r->head.n_dropped > 0)
		fields_left_out(r);
	if (!r->head.forwarding)
		return true;
	drop_fields(r);
	return !r->conn->trusted || forwarding_take(r);
}
