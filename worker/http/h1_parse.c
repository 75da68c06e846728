#include "worker/http/h1_parse.h"

#include <assert.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <prefork/module.h>

#include "worker/http/field.h"
#include "worker/http/h1_length.h"
#include "worker/http/uri.h"
#include "worker/str.h"

/*
 * A head is taken line by line: empty lines, the request line, fields, the
 * empty line.  A line is checked when its LF is there, but for its first byte
 * and its length, which are checked on what has arrived.  Both are monotone:
 * what refuses a part of a line refuses the whole, so that the result does not
 * depend on how the head was split.
 */

#define MAX_EMPTY_LINES 2
#define VERSION_LENGTH  8 /* HTTP/1.1 */

static_assert(PF_H_COUNT <= 64, "h1_head.seen has a bit for each");
static_assert((H1_BUCKETS & (H1_BUCKETS - 1)) == 0, "% is a mask");

static const struct {
	unsigned status;
	const char *text;
} results[] = {
	[H1_OK] = { 200, "complete" },
	[H1_MORE] = { 400, "incomplete" },
#define H1_RESULT(name, code, words)                                           \
	[H1_##name] = { .status = (code), .text = (words) },
#include "worker/http/h1_result.def"
#undef H1_RESULT
};

unsigned
h1_result_status(enum h1_result r)
{
	return results[r].status;
}

const char *
h1_result_text(enum h1_result r)
{
	return results[r].text;
}

void
h1_head_init(struct h1_head *h, const struct h1_limits *limits,
    struct h1_field *field)
{
	*h = (struct h1_head){ .limits = *limits, .field = field };
}

static struct str
slice(const char *buf, struct h1_span s)
{
	return (struct str){ buf + s.at, s.n };
}

/* Of the token at p[0..n), RFC 9110 5.6.2; 0: there is none. */
static uint32_t
token_length(const char *p, uint32_t n)
{
	uint32_t i = 0;

	while (i < n && field_tchar[(unsigned char)p[i]])
		i++;
	return i;
}

/* ---- the request line, RFC 9112 3 ------------------------------------- */

static enum h1_method
method_id(struct str s)
{
#define IS(lit) (memcmp(s.p, lit, sizeof(lit) - 1) == 0)
	switch (s.n) {
	case 3:
		return IS("GET") ? H1_METHOD_GET :
		    IS("PUT")    ? H1_METHOD_PUT :
				   H1_METHOD_OTHER;
	case 4:
		return IS("POST") ? H1_METHOD_POST :
		    IS("HEAD")    ? H1_METHOD_HEAD :
				    H1_METHOD_OTHER;
	case 6: return IS("DELETE") ? H1_METHOD_DELETE : H1_METHOD_OTHER;
	case 7:
		return IS("OPTIONS") ? H1_METHOD_OPTIONS :
		    IS("CONNECT")    ? H1_METHOD_CONNECT :
				       H1_METHOD_OTHER;
	default: return H1_METHOD_OTHER;
	}
#undef IS
}

/* p[0..VERSION_LENGTH).  RFC 9112 2.3. */
static enum h1_result
version_take(struct h1_head *h, const char *p)
{
	if (memcmp(p, "HTTP/", 5) != 0 || p[5] < '0' || p[5] > '9' ||
	    p[6] != '.' || p[7] < '0' || p[7] > '9')
		return H1_BAD_VERSION;
	if (p[5] != '1')
		return H1_UNSUPPORTED_VERSION;
	h->minor = p[7] != '0';
	return H1_OK;
}

#ifdef __SSE2__
/* Are 16 bytes all VCHAR but '#'? */
static bool
target_16(const char *p)
{
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
	/* signed: 0x80 and up are negative */
	__m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8('!'));
	__m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
	__m128i hash = _mm_cmpeq_epi8(v, _mm_set1_epi8('#'));

	return _mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(del, hash))) ==
	    0;
}
#endif

/* VCHAR but '#'; RFC 3986 allows fewer, which browsers do not keep to. */
static bool
target_ok(struct str s)
{
	size_t i = 0;

#ifdef __SSE2__
	for (; i + 16 <= s.n; i += 16)
		if (!target_16(s.p + i))
			return false;
#endif
	for (; i < s.n; i++)
		if (s.p[i] < '!' || s.p[i] > '~' || s.p[i] == '#')
			return false;
	return true;
}

/* path [ "?" query ] */
static void
path_take(struct h1_head *h, const char *buf, struct h1_span s)
{
	const char *mark = memchr(buf + s.at, '?', s.n);

	h->raw_path = s;
	if (mark == NULL)
		return;
	h->raw_path.n = (uint32_t)(mark - (buf + s.at));
	h->query.at = s.at + h->raw_path.n + 1;
	h->query.n = s.n - h->raw_path.n - 1;
}

/* In any case, and with something behind it. */
static bool
begins_with(struct str s, struct str scheme)
{
	return s.n > scheme.n &&
	    field_name_eq((struct str){ s.p, scheme.n }, scheme);
}

/* absolute-form, RFC 9112 3.2.2: its authority replaces the Host field.  The
 * last proxy makes "*" of one for OPTIONS that ends there (3.2.4): so do we. */
static enum h1_result
absolute_take(struct h1_head *h, const char *buf, uint32_t scheme)
{
	struct h1_span rest = { h->target.at + scheme, h->target.n - scheme };
	struct h1_span path = rest;
	uint32_t n = 0;

	while (n < rest.n && buf[rest.at + n] != '/' && buf[rest.at + n] != '?')
		n++;
	h->authority = (struct h1_span){ rest.at, n };
	if (!uri_authority_ok(slice(buf, h->authority)))
		return H1_BAD_AUTHORITY;
	path.at += n;
	path.n -= n;
	h->asterisk = path.n == 0 && h->method_id == H1_METHOD_OPTIONS;
	path_take(h, buf, path);
	if (h->raw_path.n == 0) /* RFC 9110 4.2.3: is "/"; "://" has one */
		h->raw_path = (struct h1_span){ rest.at - 1, 1 };
	return H1_OK;
}

/* RFC 9112 3.2: which of the four forms. */
static enum h1_result
target_take(struct h1_head *h, const char *buf)
{
	struct str s = slice(buf, h->target);

	if (!target_ok(s))
		return H1_BAD_TARGET;
	if (h->method_id == H1_METHOD_CONNECT) {
		h->authority = h->target;
		return uri_authority_has_port(s) ? H1_OK : H1_BAD_TARGET_FORM;
	}
	if (s.p[0] == '/') {
		path_take(h, buf, h->target);
		return H1_OK;
	}
	if (s.p[0] == '*' && s.n == 1) {
		h->asterisk = h->method_id == H1_METHOD_OPTIONS;
		return h->asterisk ? H1_OK : H1_BAD_TARGET_FORM;
	}
	if (begins_with(s, STR("http://")))
		return absolute_take(h, buf, sizeof "http://" - 1);
	h->https = begins_with(s, STR("https://"));
	return h->https ? absolute_take(h, buf, sizeof "https://" - 1) :
			  H1_BAD_TARGET_FORM;
}

/* method SP request-target SP HTTP-version */
static enum h1_result
request_line_take(struct h1_head *h, const char *buf, struct h1_span line)
{
	const char *p = buf + line.at;
	uint32_t method_n = token_length(p, line.n);
	enum h1_result r;

	if (method_n == 0 || (method_n < line.n && p[method_n] != ' '))
		return H1_BAD_METHOD;
	if (line.n < method_n + 1 + 1 + 1 + VERSION_LENGTH ||
	    p[line.n - VERSION_LENGTH - 1] != ' ')
		return H1_BAD_REQUEST_LINE;
	h->method = (struct h1_span){ line.at, method_n };
	h->method_id = method_id(slice(buf, h->method));
	h->target.at = line.at + method_n + 1;
	h->target.n = line.n - method_n - VERSION_LENGTH - 2;
	h->in_fields = true;
	r = version_take(h, p + line.n - VERSION_LENGTH);
	return r == H1_OK ? target_take(h, buf) : r;
}

/* RFC 9112 2.2: a client may send CRLF too many before its request. */
static enum h1_result
empty_line_take(const struct h1_head *h)
{
	return h->line_at > 2 * MAX_EMPTY_LINES ? H1_EMPTY_LINES : H1_OK;
}

/* ---- fields, RFC 9112 5 ------------------------------------------------ */

/* RFC 9112 3.2.2: the authority of the target stands in its place, for
 * everybody who looks. */
static enum h1_result
host_take(struct h1_head *h, const char *buf, struct h1_field *f)
{
	if (f->flags & PF_HF_REPEATED)
		return H1_DUPLICATE_HOST;
	if (f->value.n > 0 && !uri_authority_ok(slice(buf, f->value)))
		return H1_BAD_HOST;
	if (h->authority.n == 0)
		h->authority = f->value;
	f->value = h->authority;
	return H1_OK;
}

static enum h1_result
length_take(struct h1_head *h, struct str value, const struct h1_field *f)
{
	if (f->flags & PF_HF_REPEATED)
		return H1_DUPLICATE_LENGTH;
	h->has_length = true;
	return h1_content_length(value, &h->content_length);
}

static enum h1_result
connection_take(struct h1_head *h, struct str value)
{
	h->close = h->close || field_has_token(value, STR("close"));
	h->keep = h->keep || field_has_token(value, STR("keep-alive"));
	return H1_OK;
}

static enum h1_result
expect_take(struct h1_head *h, struct str value)
{
	h->expect_continue = field_name_eq(value, STR("100-continue"));
	h->bad_expect = h->bad_expect || !h->expect_continue;
	return H1_OK;
}

/* What the field means to prefork itself. */
static enum h1_result
field_apply(struct h1_head *h, const char *buf, struct h1_field *f)
{
	struct str value = slice(buf, f->value);

	switch (f->id) {
	case PF_H_HOST: return host_take(h, buf, f);
	case PF_H_CONTENT_LENGTH: return length_take(h, value, f);
	case PF_H_CONNECTION: return connection_take(h, value);
	case PF_H_EXPECT: return expect_take(h, value);
	case PF_H_TRANSFER_ENCODING:
		h->codings = (uint8_t)h1_transfer_encoding(value, h->codings);
		return H1_OK;
	case PF_H_CONTENT_TYPE:
		return f->flags & PF_HF_REPEATED ? H1_DUPLICATE_TYPE : H1_OK;
	default: return H1_OK;
	}
}

/* Has a field of this name, which has no id, come before?  It is put where the
 * next will look for it. */
static bool
other_repeated(struct h1_head *h, const char *buf, struct h1_field *f)
{
	struct str name = slice(buf, f->name);
	uint16_t *bucket;

	f->hash = field_hash(name, h->limits.seed);
	bucket = &h->bucket[f->hash % H1_BUCKETS];
	f->next = *bucket;
	*bucket = (uint16_t)(h->n_fields + 1);
	for (uint32_t i = f->next; i != 0; i = h->field[i - 1].next)
		if (h->field[i - 1].hash == f->hash &&
		    field_name_eq(slice(buf, h->field[i - 1].name), name))
			return true;
	return false;
}

/* Of a name without an id: see h1_head.n_dropped. */
static bool
must_drop(struct str name)
{
	return memchr(name.p, '_', name.n) != NULL ||
	    field_name_eq(name, STR("proxy"));
}

static enum h1_result
field_record(struct h1_head *h, const char *buf, struct h1_field f)
{
	struct str name = slice(buf, f.name);
	uint64_t bit;
	bool repeated;

	f.id = field_id(name);
	bit = UINT64_C(1) << f.id;
	if (f.id == PF_H_OTHER && must_drop(name)) {
		h->n_dropped++;
		h->dropped = f.name;
		return H1_OK;
	}
	if (h->n_fields == h->limits.fields)
		return H1_TOO_MANY_FIELDS;
	repeated = f.id == PF_H_OTHER ? other_repeated(h, buf, &f) :
					(h->seen & bit) != 0;
	h->seen |= bit;
	h->forwarding = h->forwarding || field_is_forwarding(f.id, name);
	f.flags = repeated ? PF_HF_REPEATED : 0;
	h->field[h->n_fields] = f;
	return field_apply(h, buf, &h->field[h->n_fields++]);
}

/* field-name ":" OWS field-value OWS */
static enum h1_result
field_take(struct h1_head *h, const char *buf, struct h1_span line)
{
	const char *p = buf + line.at;
	struct str value;
	uint32_t n;

	if (p[0] == ' ' || p[0] == '\t')
		return H1_FOLDED_FIELD;
	n = token_length(p, line.n);
	if (n == 0 || n == line.n || p[n] != ':')
		return memchr(p, ':', line.n) ? H1_BAD_FIELD_NAME : H1_NO_COLON;
	value = field_trim((struct str){ p + n + 1, line.n - n - 1 });
	if (!field_value_ok(value))
		return memchr(value.p, '\r', value.n) ? H1_BARE_CR :
							H1_BAD_FIELD_VALUE;
	return field_record(h, buf,
	    (struct h1_field){
		.name = { line.at, n },
		.value = { (uint32_t)(value.p - buf), (uint32_t)value.n },
	    });
}

/* RFC 9112 6.3, 9.3; RFC 9110 10.1.1. */
static enum h1_result
head_finish(struct h1_head *h)
{
	bool has_host = (h->seen >> PF_H_HOST & 1) != 0;
	bool coded = h->codings != 0;
	enum h1_result r = coded ? h1_coding_verdict(h->codings) : H1_OK;

	if (h->minor >= 1 && !has_host)
		return H1_NO_HOST;
	if (coded && h->minor == 0)
		return H1_CODING_IN_1_0;
	if (coded && h->has_length)
		return H1_CODING_AND_LENGTH;
	if (r != H1_OK)
		return r;
	if (h->bad_expect && h->minor >= 1)
		return H1_BAD_EXPECT;
	h->chunked = coded;
	h->keepalive = !h->close && (h->minor >= 1 || h->keep);
	h->expect_continue = h->expect_continue && h->minor >= 1;
	h->length = h->line_at;
	return H1_OK;
}

/* ---- lines ------------------------------------------------------------- */

/* What can be said of a line, or of its first bytes, without its end: n does
 * not count a CR that is last. */
static enum h1_result
line_begin_check(const struct h1_head *h, const char *buf, uint32_t n)
{
	char c = buf[h->line_at];

	if (h->in_fields)
		return n > h->limits.field ? H1_FIELD_TOO_LONG : H1_OK;
	if (c != '\r' && c != '\n' && !field_tchar[(unsigned char)c])
		return H1_BAD_METHOD; /* TLS, most often */
	return n > h->limits.request_line ? H1_REQUEST_LINE_TOO_LONG : H1_OK;
}

/* The line whose LF is at buf[lf].  H1_MORE: and there are more lines. */
static enum h1_result
line_take(struct h1_head *h, const char *buf, uint32_t lf)
{
	bool cr = lf > h->line_at && buf[lf - 1] == '\r';
	struct h1_span line = { h->line_at, lf - h->line_at - cr };
	enum h1_result r = line_begin_check(h, buf, line.n);

	if (r != H1_OK)
		return r;
	if (!cr)
		return H1_BARE_LF;
	h->line_at = h->scan_at = lf + 1;
	if (h->in_fields && line.n == 0)
		return head_finish(h);
	if (h->in_fields)
		r = field_take(h, buf, line);
	else if (line.n > 0)
		r = request_line_take(h, buf, line);
	else
		r = empty_line_take(h);
	return r == H1_OK ? H1_MORE : r;
}

/* No LF before buf[end]. */
static enum h1_result
line_wait(struct h1_head *h, const char *buf, uint32_t end)
{
	uint32_t n = end - h->line_at; /* > 0: the LF before it was found */
	enum h1_result r = line_begin_check(h, buf, n - (buf[end - 1] == '\r'));

	h->scan_at = end;
	return r == H1_OK ? H1_MORE : r;
}

enum h1_result
h1_parse(struct h1_head *h, const char *buf, size_t n)
{
	uint32_t end = n < h->limits.head ? (uint32_t)n : h->limits.head;
	enum h1_result r = H1_MORE;

	while (r == H1_MORE && h->scan_at < end) {
		const char *lf =
		    memchr(buf + h->scan_at, '\n', end - h->scan_at);

		r = lf ? line_take(h, buf, (uint32_t)(lf - buf)) :
			 line_wait(h, buf, end);
	}
	return r == H1_MORE && n > h->limits.head ? H1_HEAD_TOO_LONG : r;
}

struct str
h1_raw_path(const struct h1_head *h, const char *buf)
{
	/* an absolute-form need not have that byte */
	return h->asterisk ? STR("*") : slice(buf, h->raw_path);
}
