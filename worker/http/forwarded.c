#include "worker/http/forwarded.h"

#include <string.h>

#include <prefork/module.h>

#include "worker/http/field.h"
#include "worker/http/uri.h"

/* What one of the two kinds of fields says. */
struct claim {
	struct peer client;     /* family 0: not said, or hidden by our peer */
	bool named;             /* it was said, if only that it is hidden */
	struct str proto, host; /* of Forwarded: see unquote() */
};

/* ---- a node, RFC 7239 6 -------------------------------------------------- */

enum node {
	NODE_BAD,
	NODE_HIDDEN, /* "unknown", or a name like _gazonk */
	NODE_ADDRESS,
};

static bool
is_obfuscated(struct str s)
{
	for (size_t i = 1; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') ||
			((s.p[i] | 0x20) >= 'a' && (s.p[i] | 0x20) <= 'z') ||
			s.p[i] == '.' || s.p[i] == '_' || s.p[i] == '-'))
			return false;
	return s.n > 1 && s.p[0] == '_';
}

/* node-port; 0 for one that is obfuscated. */
static bool
port_read(struct str s, uint16_t *out)
{
	*out = 0;
	return is_obfuscated(s) || peer_port_read(s, out);
}

/* Splits [ ":" node-port ] off the end of s. */
static bool
port_split(struct str *s, uint16_t *port)
{
	const char *bracket = memrchr(s->p, ']', s->n);
	size_t from = bracket ? (size_t)(bracket - s->p) : 0;
	const char *colon = memchr(s->p + from, ':', s->n - from);
	size_t n;

	*port = 0;
	if (colon == NULL)
		return true;
	n = (size_t)(colon - s->p);
	if (!port_read((struct str){ colon + 1, s->n - n - 1 }, port))
		return false;
	s->n = n;
	return true;
}

static enum node
node_read(struct str s, struct peer *out)
{
	uint16_t port;
	bool ok;

	if (s.n == 0 || !port_split(&s, &port))
		return NODE_BAD;
	if (field_name_eq(s, STR("unknown")) || is_obfuscated(s))
		return NODE_HIDDEN;
	if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		ok = peer_set_text(out, AF_INET6,
		    (struct str){ s.p + 1, s.n - 2 }, port);
	else
		ok = peer_set_text(out, AF_INET, s, port);
	return ok ? NODE_ADDRESS : NODE_BAD;
}

/* The same in X-Forwarded-For, where IPv6 mostly has no brackets. */
static enum node
bare_node_read(struct str s, struct peer *out)
{
	if (peer_set_text(out, AF_INET6, s, 0))
		return NODE_ADDRESS;
	return node_read(s, out);
}

/* ---- X-Forwarded-*: lists, from the right end ---------------------------- */

/* Members of all lines of a field that were not taken yet. */
struct list {
	const struct h1_head *head;
	const char *buf;
	unsigned id;
	uint32_t field;  /* lines from here on are taken */
	struct str line; /* the rest of the line in work */
};

/* To the line before; false: there is none. */
static bool
list_line(struct list *l)
{
	const struct h1_field *f;

	while (l->field > 0) {
		f = &l->head->field[--l->field];
		if (f->id == l->id) {
			l->line =
			    (struct str){ l->buf + f->value.at, f->value.n };
			return true;
		}
	}
	return false;
}

/* The last member that is left.  Empty ones do not count (RFC 9110 5.6.1). */
static bool
list_last(struct list *l, struct str *member)
{
	while (l->line.n > 0 || list_line(l)) {
		size_t end = l->line.n, from = end;

		while (from > 0 && l->line.p[from - 1] != ',')
			from--;
		*member =
		    field_trim((struct str){ l->line.p + from, end - from });
		l->line.n = from > 0 ? from - 1 : 0;
		if (member->n > 0)
			return true;
	}
	return false;
}

/* *hops: which member of the list, from the right, is the client. */
static enum h1_result
read_for(const struct h1_head *h, const char *buf, const struct trust *t,
    struct claim *c, unsigned *hops)
{
	struct list l = { .head = h,
		.buf = buf,
		.id = PF_H_X_FORWARDED_FOR,
		.field = h->n_fields };
	struct str member;
	struct peer p;

	for (*hops = 0; list_last(&l, &member); ++*hops) {
		if (*hops == FORWARDED_HOPS_MAX)
			return H1_TOO_MANY_HOPS;
		c->named = true;
		switch (bare_node_read(member, &p)) {
		case NODE_BAD: return H1_BAD_FORWARDED_FOR;
		case NODE_HIDDEN: ++*hops; return H1_OK;
		case NODE_ADDRESS: c->client = p;
		}
		if (!peer_is_trusted(&p, t)) {
			++*hops;
			return H1_OK;
		}
	}
	return H1_OK;
}

/* The n-th member from the right, or the first if there are fewer: a proxy
 * that does not add to the list has replaced it. */
static struct str
read_nth(const struct h1_head *h, const char *buf, unsigned id, unsigned n)
{
	struct list l = { .head = h,
		.buf = buf,
		.id = id,
		.field = h->n_fields };
	struct str member, found = { "", 0 };

	for (; n > 0 && list_last(&l, &member); n--)
		found = member;
	return found;
}

static enum h1_result
read_x_forwarded(const struct h1_head *h, const char *buf,
    const struct trust *t, struct claim *c)
{
	unsigned hops;
	enum h1_result r = read_for(h, buf, t, c, &hops);

	if (hops == 0)
		hops = 1;
	c->proto = read_nth(h, buf, PF_H_X_FORWARDED_PROTO, hops);
	c->host = read_nth(h, buf, PF_H_X_FORWARDED_HOST, hops);
	return r;
}

/* ---- Forwarded, RFC 7239 4 ----------------------------------------------- */

/* The parameters that matter, see unquote(); p == NULL: not there. */
struct element {
	struct str node, proto, host;
};

static void
advance(struct str *s, size_t n)
{
	s->p += n;
	s->n -= n;
}

static void
skip_space(struct str *s)
{
	while (s->n > 0 && (s->p[0] == ' ' || s->p[0] == '\t'))
		advance(s, 1);
}

static bool
token_read(struct str *s, struct str *token)
{
	size_t n = 0;

	while (n < s->n && field_tchar[(unsigned char)s->p[n]])
		n++;
	*token = (struct str){ s->p, n };
	advance(s, n);
	return n > 0;
}

/* Between the quotes, as it stands. */
static bool
quoted_read(struct str *s, struct str *value)
{
	for (size_t i = 1; i < s->n; i++) {
		if (s->p[i] == '\\') {
			i++;
		} else if (s->p[i] == '"') {
			*value = (struct str){ s->p + 1, i - 1 };
			advance(s, i + 1);
			return true;
		}
	}
	return false;
}

/* RFC 9110 5.6.4: a quoted-pair is the byte behind its backslash, which tokens
 * do not have.  A value with one is copied to `to`; false: it is too long. */
static bool
unquote(struct str *s, char to[FORWARDED_QUOTED_MAX])
{
	size_t n = 0;

	if (s->n == 0 || memchr(s->p, '\\', s->n) == NULL)
		return true;
	for (size_t i = 0; i < s->n; i++) {
		i += s->p[i] == '\\'; /* never the last, see quoted_read() */
		if (n == FORWARDED_QUOTED_MAX)
			return false;
		to[n++] = s->p[i];
	}
	*s = (struct str){ to, n };
	return true;
}

/* Each once in an element. */
static bool
parameter_set(struct str *p, struct str value)
{
	bool first = p->p == NULL;

	*p = value;
	return first;
}

/* token "=" ( token / quoted-string ) */
static bool
parameter_read(struct str *s, struct element *e)
{
	struct str name, value;

	if (!token_read(s, &name) || s->n == 0 || s->p[0] != '=')
		return false;
	advance(s, 1);
	if (s->n > 0 && s->p[0] == '"') {
		if (!quoted_read(s, &value))
			return false;
	} else if (!token_read(s, &value)) {
		return false;
	}
	if (field_name_eq(name, STR("for")))
		return parameter_set(&e->node, value);
	if (field_name_eq(name, STR("proto")))
		return parameter_set(&e->proto, value);
	if (field_name_eq(name, STR("host")))
		return parameter_set(&e->host, value);
	return true;
}

/* Up to the comma behind it or the end.  *any: it has a parameter. */
static bool
element_read(struct str *s, struct element *e, bool *any)
{
	*e = (struct element){ .node = { NULL, 0 } };
	for (*any = false;; advance(s, 1)) {
		skip_space(s);
		if (s->n > 0 && s->p[0] != ';' && s->p[0] != ',') {
			if (!parameter_read(s, e))
				return false;
			*any = true;
			skip_space(s);
		}
		if (s->n == 0 || s->p[0] == ',')
			break;
		if (s->p[0] != ';')
			return false;
	}
	advance(s, s->n > 0);
	return true;
}

static enum node
element_node(const struct element *e, struct peer *out)
{
	char unquoted[FORWARDED_QUOTED_MAX];
	struct str s = e->node;

	if (s.p == NULL)
		return NODE_HIDDEN;
	return unquote(&s, unquoted) ? node_read(s, out) : NODE_BAD;
}

/* The claim so far, from left to right, and whether it can be said yet. */
struct chain {
	struct claim claim;
	unsigned hops;
	bool bad; /* the client of the claim is no node */
};

/*
 * Quotes can only be read from the left.  So each element that is not trusted
 * puts an end to what stood left of it; one that is adds what is still missing:
 * it is a proxy that passed on what the one before it said.
 */
static void
chain_add(struct chain *c, const struct element *e, const struct trust *t)
{
	struct peer p = { 0 };
	enum node node = element_node(e, &p);
	bool trusted = node == NODE_ADDRESS && peer_is_trusted(&p, t);

	if (!trusted || c->hops == 0) {
		c->claim = (struct claim){ .client = p,
			.named = e->node.p != NULL,
			.proto = e->proto,
			.host = e->host };
		c->bad = node == NODE_BAD;
	} else {
		if (c->claim.client.family == 0)
			c->claim.client = p; /* this one has hidden it */
		if (c->claim.proto.p == NULL)
			c->claim.proto = e->proto;
		if (c->claim.host.p == NULL)
			c->claim.host = e->host;
	}
	c->hops++;
}

/* One line: quotes do not span two. */
static enum h1_result
chain_line(struct chain *c, struct str line, const struct trust *t)
{
	struct element e;
	bool any;

	while (line.n > 0) {
		if (!element_read(&line, &e, &any))
			return H1_BAD_FORWARDED;
		if (any && c->hops == FORWARDED_HOPS_MAX)
			return H1_TOO_MANY_HOPS;
		if (any)
			chain_add(c, &e, t);
	}
	return H1_OK;
}

static enum h1_result
read_forwarded(const struct h1_head *h, const char *buf, const struct trust *t,
    struct claim *c)
{
	struct chain chain = { .hops = 0 };
	enum h1_result r = H1_OK;

	for (uint32_t i = 0; r == H1_OK && i < h->n_fields; i++)
		if (h->field[i].id == PF_H_FORWARDED)
			r = chain_line(&chain,
			    (struct str){ buf + h->field[i].value.at,
				h->field[i].value.n },
			    t);
	*c = chain.claim;
	return r == H1_OK && chain.bad ? H1_BAD_FORWARDED_FOR : r;
}

/* ---- both ---------------------------------------------------------------- */

static enum h1_result
take_client(struct forwarded *out, const struct claim *x, const struct claim *f)
{
	if (x->named && f->named && !peer_same_address(&x->client, &f->client))
		return H1_FORWARDED_CONFLICT;
	out->client = x->named ? x->client : f->client;
	return H1_OK;
}

/* ws and wss are what some proxies say of a WebSocket. */
static enum h1_result
take_proto(struct forwarded *out, struct str s)
{
	enum forwarded_proto proto;

	if (s.p == NULL || s.n == 0)
		return H1_OK;
	if (field_name_eq(s, STR("https")) || field_name_eq(s, STR("wss")))
		proto = FORWARDED_PROTO_HTTPS;
	else if (field_name_eq(s, STR("http")) || field_name_eq(s, STR("ws")))
		proto = FORWARDED_PROTO_HTTP;
	else
		return H1_BAD_FORWARDED_PROTO;
	if (out->proto != FORWARDED_PROTO_NONE && out->proto != proto)
		return H1_FORWARDED_CONFLICT;
	out->proto = proto;
	return H1_OK;
}

static enum h1_result
take_host(struct forwarded *out, struct str s)
{
	if (s.p == NULL || s.n == 0)
		return H1_OK;
	if (!uri_authority_ok(s))
		return H1_BAD_FORWARDED_HOST;
	if (out->host.n > 0 && !field_name_eq(out->host, s))
		return H1_FORWARDED_CONFLICT;
	out->host = s;
	return H1_OK;
}

static enum h1_result
take_quoted_proto(struct forwarded *out, struct str s)
{
	char unquoted[FORWARDED_QUOTED_MAX];

	return unquote(&s, unquoted) ? take_proto(out, s) :
				       H1_BAD_FORWARDED_PROTO;
}

static enum h1_result
take_quoted_host(struct forwarded *out, struct str s)
{
	return unquote(&s, out->unquoted) ? take_host(out, s) :
					    H1_BAD_FORWARDED_HOST;
}

/* A proxy knows one kind and passes the other on as its client made it up: we
 * cannot tell which, so they must agree where both say something. */
enum h1_result
forwarded_read(const struct h1_head *h, const char *buf, const struct trust *t,
    struct forwarded *out)
{
	struct claim x = { .named = false }, f = { .named = false };
	enum h1_result r = read_x_forwarded(h, buf, t, &x);

	*out = (struct forwarded){ .proto = FORWARDED_PROTO_NONE };
	if (r == H1_OK)
		r = read_forwarded(h, buf, t, &f);
	if (r == H1_OK)
		r = take_client(out, &x, &f);
	if (r == H1_OK)
		r = take_proto(out, x.proto);
	if (r == H1_OK)
		r = take_quoted_proto(out, f.proto);
	if (r == H1_OK)
		r = take_host(out, x.host);
	if (r == H1_OK)
		r = take_quoted_host(out, f.host);
	return r;
}
