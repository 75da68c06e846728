/*
 * Parsers take time in proportion to what a client sends, whatever it sends:
 * the branches that they take and the bytes that the C library looks at for
 * them are counted, with no clock.  Each input comes in two sizes, whole and
 * byte by byte; the larger may not cost more for a byte than the smaller.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <prefork/module.h>

#include "conf/settings.h"
#include "conf/table.h"
#include "conf/trust.h"
#include "conf/types.h"
#include "worker/http/forwarded.h"
#include "worker/http/h1_chunk.h"
#include "worker/http/h1_parse.h"
#include "worker/http/static_condition.h"
#include "worker/http/static_range.h"
#include "worker/http/uri.h"
#include "worker/net/proxy_protocol.h"

/* The largest that settings.def allows. */
#define MAX_FIELDS 1000
static const struct h1_limits limits = { .request_line = 1u << 20,
	.field = 1u << 20,
	.fields = MAX_FIELDS,
	.head = 1u << 20,
	.seed = 1234567 };

/* Of any parser for a byte; and the room for what it begins and ends with. */
#define STEPS_PER_BYTE 64
#define STEPS_ALWAYS   20000

/* ---- counting ------------------------------------------------------------ */

static uint64_t steps;

/* The compiler and the linker put these into the parsers (Makefile). */
void __sanitizer_cov_trace_pc(void); /* NOLINT: its name is given */
void *__wrap_memchr(const void *, int, size_t);
void *__real_memchr(const void *, int, size_t);
void *__wrap_memrchr(const void *, int, size_t);
void *__real_memrchr(const void *, int, size_t);
int __wrap_memcmp(const void *, const void *, size_t);
int __real_memcmp(const void *, const void *, size_t);
void *__wrap_memcpy(void *, const void *, size_t);
void *__real_memcpy(void *, const void *, size_t);
void *__wrap_memmove(void *, const void *, size_t);
void *__real_memmove(void *, const void *, size_t);

void
__sanitizer_cov_trace_pc(void)
{
	steps++;
}

void *
__wrap_memchr(const void *p, int c, size_t n)
{
	const char *found = __real_memchr(p, c, n);

	steps += found ? (size_t)(found - (const char *)p) : n;
	return (void *)(uintptr_t)found;
}

void *
__wrap_memrchr(const void *p, int c, size_t n)
{
	steps += n;
	return __real_memrchr(p, c, n);
}

int
__wrap_memcmp(const void *a, const void *b, size_t n)
{
	steps += n;
	return __real_memcmp(a, b, n);
}

void *
__wrap_memcpy(void *to, const void *from, size_t n)
{
	steps += n;
	return __real_memcpy(to, from, n);
}

void *
__wrap_memmove(void *to, const void *from, size_t n)
{
	steps += n;
	return __real_memmove(to, from, n);
}

/* ---- inputs -------------------------------------------------------------- */

struct input {
	const char *name;
	/* begin, then `piece` again and again, then end; in a piece "@" is a
	 * number of five letters, another each time; "~" is a NUL */
	const char *begin, *piece, *end;
	size_t small, large; /* pieces */
};

static void
put_piece(FILE *out, const char *piece, size_t i)
{
	for (; *piece != '\0'; piece++) {
		if (*piece != '@') {
			putc(*piece, out);
			continue;
		}
		for (size_t d = 0, v = i; d < 5; d++, v /= 26)
			putc((int)('a' + v % 26), out);
	}
}

static char *
input_new(const struct input *in, size_t pieces, size_t *n)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, n);

	assert_non_null(out);
	for (const char *p = in->begin; *p != '\0'; p++)
		putc(*p == '~' ? '\0' : *p, out);
	for (size_t i = 0; i < pieces; i++)
		put_piece(out, in->piece, i);
	fputs(in->end, out);
	fclose(out);
	assert_non_null(text);
	return text;
}

/* What a parser costs: of n bytes, arriving `step` at a time. */
typedef void run_fn(const char *p, size_t n, size_t step);

static double
cost(const struct input *in, size_t pieces, run_fn *run, bool by_byte)
{
	size_t n = 0;
	char *text = input_new(in, pieces, &n);

	steps = 0;
	run(text, n, by_byte ? 1 : n);
	free(text);
	if (steps == 0)
		fail_msg("%s: nothing was counted", in->name);
	if (steps > STEPS_ALWAYS + n * STEPS_PER_BYTE)
		fail_msg("%s, %s: %llu steps for %zu bytes", in->name,
		    by_byte ? "byte by byte" : "whole",
		    (unsigned long long)steps, n);
	return (double)steps / (double)n;
}

static void
check(const struct input *in, size_t n, run_fn *run)
{
	for (size_t i = 0; i < n; i++)
		for (int by_byte = 0; by_byte < 2; by_byte++) {
			double a = cost(&in[i], in[i].small, run, by_byte);
			double b = cost(&in[i], in[i].large, run, by_byte);

			if (b > a * 1.5 + 1)
				fail_msg("%s: %.1f steps for a byte of few, "
					 "%.1f for one of many",
				    in[i].name, a, b);
		}
}

#define CHECK(table, run) check(table, sizeof(table) / sizeof(table)[0], run)

/* ---- parsers ------------------------------------------------------------- */

static struct h1_field field[MAX_FIELDS];

static enum h1_result
parse_head(struct h1_head *h, const char *p, size_t n, size_t step)
{
	enum h1_result r = H1_MORE;

	h1_head_init(h, &limits, field);
	for (size_t at = step; at <= n && r == H1_MORE; at += step)
		r = h1_parse(h, p, at);
	return r;
}

static void
run_head(const char *p, size_t n, size_t step)
{
	struct h1_head h;

	/* a refusal would make it cheap */
	assert_int_equal(parse_head(&h, p, n, step), H1_OK);
}

#define GET  "GET / HTTP/1.1\r\nHost: a\r\n"
#define K    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define LONG K K K K K K K K K K

static const struct input heads[] = {
	{ "target", "GET /", "a", " HTTP/1.1\r\nHost: a\r\n\r\n", 100,
	    1000000 },
	{ "query", "GET /", "?", " HTTP/1.1\r\nHost: a\r\n\r\n", 100, 1000000 },
	{ "authority", "GET http://a", "%41", "/ HTTP/1.1\r\nHost: a\r\n\r\n",
	    100, 300000 },
	{ "method", "", "M", " / HTTP/1.1\r\nHost: a\r\n\r\n", 100, 1000000 },
	{ "host", "GET / HTTP/1.1\r\nHost: ", "a.", "\r\n\r\n", 100, 500000 },
	{ "value", GET "X: ", "a", "\r\n\r\n", 100, 1000000 },
	{ "spaces", GET "X: a", " ", "b\r\n\r\n", 100, 1000000 },
	{ "spaces before", GET "X:", " \t", "\r\n\r\n", 100, 500000 },
	{ "name", GET, "a", ": b\r\n\r\n", 100, 1000000 },
	{ "connection, empty", GET "Connection: ", ",", "\r\n\r\n", 100,
	    1000000 },
	{ "connection", GET "Connection: ", "keep-aliv, ", "\r\n\r\n", 100,
	    90000 },
	{ "connection, fields", GET, "Connection: a\r\n", "\r\n", 10, 990 },
	{ "fields, short", GET, "a:\r\n", "\r\n", 10, 990 },
	{ "fields, dropped", GET, "a_:\r\n", "\r\n", 10, 100000 },
	{ "fields, all others", GET, "@:\r\n", "\r\n", 10, 990 },
	/* alike where one might look first, and almost where one looks last */
	{ "fields, long and alike", GET, "x" LONG "@" LONG "x:\r\n", "\r\n", 10,
	    900 },
	{ "fields, alike to the end", GET, LONG LONG "@x:\r\n", "\r\n", 10,
	    900 },
	/* the same for whoever takes 0x20 for the case */
	{ "fields, same but for case", GET, "@^~^~^~^~^~^~^~:\r\n", "\r\n", 10,
	    990 },
};

static void
heads_are_linear(void **state)
{
	(void)state;
	CHECK(heads, run_head);
}

static void
run_chunks(const char *p, size_t n, size_t step)
{
	struct h1_chunk c;
	enum h1_result r = H1_MORE;
	char *out = malloc(n);

	assert_non_null(out);
	h1_chunk_init(&c, &limits, UINT64_MAX);
	for (size_t at = 0; at < n && r == H1_MORE;) {
		size_t k = step < n - at ? step : n - at, room = n;

		r = h1_chunk_decode(&c, p + at, &k, out, &room);
		at += k;
	}
	assert_int_equal(r, H1_OK);
	free(out);
}

static const struct input chunks[] = {
	{ "small chunks", "", "1\r\nx\r\n", "0\r\n\r\n", 100, 100000 },
	{ "extensions", "", "1;" K K K K K "\r\nx\r\n", "0\r\n\r\n", 10, 4000 },
	{ "zeros", "", "0000000000000001\r\nx\r\n", "0\r\n\r\n", 100, 40000 },
	{ "trailers", "0\r\n", "a: b\r\n", "\r\n", 10, 1000 },
	{ "trailer", "0\r\nX: ", "a", "\r\n\r\n", 100, 1000000 },
	{ "trailer name", "0\r\n", "a", ": b\r\n\r\n", 100, 1000000 },
};

static void
chunks_are_linear(void **state)
{
	(void)state;
	CHECK(chunks, run_chunks);
}

static void
run_uri(const char *p, size_t n, size_t step)
{
	char *out = malloc(n);
	size_t made;

	(void)step;
	assert_non_null(out);
	(void)uri_decode((struct str){ p, n }, out, &made);
	(void)uri_authority_ok((struct str){ p, n });
	free(out);
}

static const struct input uris[] = {
	{ "escapes", "", "%41", "", 100, 300000 },
	{ "plain", "", "a", "", 100, 1000000 },
	{ "half escapes", "", "%4", "", 100, 300000 },
	{ "every second", "", "a%41", "", 100, 200000 },
	{ "groups", "[", "1:", "]", 100, 300000 },
	{ "gaps", "[", "::", "]", 100, 300000 },
	{ "future", "[v1.", ":", "]", 100, 300000 },
	{ "port", "a:", "9", "", 100, 300000 },
};

static void
uris_are_linear(void **state)
{
	(void)state;
	CHECK(uris, run_uri);
}

static struct trust trust;

static void
run_forwarded(const char *p, size_t n, size_t step)
{
	struct h1_head h;
	struct forwarded f;

	(void)step; /* it reads heads that are complete */
	assert_int_equal(parse_head(&h, p, n, n), H1_OK);
	steps = 0;
	(void)forwarded_read(&h, p, &trust, &f);
}

static const struct input proxied[] = {
	{ "hops", GET "X-Forwarded-For: ", "10.0.0.1, ", "10.0.0.1\r\n\r\n", 20,
	    90000 },
	{ "commas", GET "X-Forwarded-For: 10.0.0.1", ",", "\r\n\r\n", 100,
	    900000 },
	{ "spaces", GET "X-Forwarded-For: 10.0.0.1", " ", ",\r\n\r\n", 100,
	    900000 },
	{ "hop in fields", GET, "X-Forwarded-For: 10.0.0.1\r\n", "\r\n", 20,
	    900 },
	{ "elements", GET "Forwarded: ", "for=10.0.0.1,",
	    "for=10.0.0.1\r\n\r\n", 20, 70000 },
	{ "pairs", GET "Forwarded: for=10.0.0.1", ";@=b", "\r\n\r\n", 20,
	    100000 },
	{ "quotes", GET "Forwarded: a=\"", "\\\"", "\"\r\n\r\n", 20, 400000 },
	{ "quoted pairs of a client", GET "Forwarded: for=\"", "\\1",
	    "\"\r\n\r\n", 20, 400000 },
	{ "quoted pairs of clients", GET "Forwarded: ", "for=\"\\1\\2\",",
	    "for=\"\\1\"\r\n\r\n", 20, 80000 },
	{ "quoted pairs of a host", GET "Forwarded: host=\"", "\\a",
	    "\"\r\n\r\n", 20, 400000 },
	{ "quoted pairs at the end", GET "Forwarded: host=\"", "a",
	    "\\a\"\r\n\r\n", 20, 400000 },
	{ "quotes that do not end", GET "Forwarded: ", "a=\",", "\r\n\r\n", 20,
	    200000 },
	{ "protos", GET "X-Forwarded-Proto: ", "http,", "http\r\n\r\n", 20,
	    100000 },
	{ "hosts", GET "X-Forwarded-Host: ", "a,", "a\r\n\r\n", 20, 100000 },
};

static void
fields_of_proxies_are_linear(void **state)
{
	(void)state;
	CHECK(proxied, run_forwarded);
}

/* What is wrong early is cheap whatever follows: `want` says that it is not. */
static void
run_proxy(const char *p, size_t n, size_t step, enum proxy_result want)
{
	struct proxy_header h;
	enum proxy_result r = PROXY_MORE;

	for (size_t at = step; at <= n && r == PROXY_MORE; at += step)
		r = proxy_protocol_read(p, at, &h);
	assert_int_equal(r, want);
}

static void
run_proxy_taken(const char *p, size_t n, size_t step)
{
	run_proxy(p, n, step, PROXY_OK);
}

static void
run_proxy_too_long(const char *p, size_t n, size_t step)
{
	run_proxy(p, n, step, PROXY_TOO_LONG);
}

static void
run_proxy_absent(const char *p, size_t n, size_t step)
{
	run_proxy(p, n, step, PROXY_ABSENT);
}

#define V2 "\r\n\r\n~\r\nQUIT\n"

static const struct input proxies_taken[] = {
	/* read anew with each byte, of which it has 107 */
	{ "line", "PROXY UNKNOWN ", "a", "\r\n", 80, 80 },
	/* 0x0f78 bytes */
	{ "tlvs", V2 "\x21\x11\x0fx", "x", "", 0x0f78, 0x0f78 },
	{ "tlvs of its own", V2 "\x20\x11\x0fx", "x", "", 0x0f78, 0x0f78 },
};

static const struct input proxies_too_long[] = {
	{ "line without an end", "PROXY TCP4 ", "a", "", 200, 200000 },
	/* 0x7878 bytes are announced */
	{ "version 2", V2 "\x21\x11xx", "x", "", 100, 4000 },
};

static const struct input proxies_absent[] = {
	{ "no header", "PROXY", "a", "", 20, 200000 },
};

static void
proxy_headers_are_linear(void **state)
{
	(void)state;
	CHECK(proxies_taken, run_proxy_taken);
	CHECK(proxies_too_long, run_proxy_too_long);
	CHECK(proxies_absent, run_proxy_absent);
}

static void
run_static(const char *p, size_t n, size_t step)
{
	static const struct str etag = { "\"v,1\"", 5 };
	struct h1_head h;
	struct static_range part;
	static pf_header out[MAX_FIELDS];

	(void)step;
	assert_int_equal(parse_head(&h, p, n, n), H1_OK);
	for (size_t i = 0; i < h.n_fields; i++)
		out[i] = (pf_header){ .id = field[i].id,
			.value = { p + field[i].value.at, field[i].value.n } };
	steps = 0;
	(void)static_condition(out, h.n_fields, etag, 1, 2);
	(void)static_range(out, h.n_fields,
	    &(struct static_whole){ etag, 1000 }, &part);
}

static const struct input conditions[] = {
	{ "tags", GET "If-None-Match: ", "\"a\", ", "\r\n\r\n", 20, 100000 },
	{ "weak tags", GET "If-Match: ", "W/\"v,1\",", "\r\n\r\n", 20, 100000 },
	{ "commas", GET "If-None-Match: ", ", ", "\r\n\r\n", 20, 300000 },
	{ "a tag", GET "If-None-Match: \"", "a", "\r\n\r\n", 20, 300000 },
	{ "tags in fields", GET, "If-None-Match: \"a\"\r\n", "\r\n", 20, 900 },
	{ "dates", GET, "If-Modified-Since: x\r\n", "\r\n", 20, 900 },
	{ "first", GET "Range: bytes=", "9", "-\r\n\r\n", 20, 300000 },
	{ "suffix", GET "Range: bytes=-", "9", "\r\n\r\n", 20, 300000 },
	{ "ranges", GET "Range: bytes=", "1-2,", "3-4\r\n\r\n", 20, 200000 },
	{ "ranges in fields", GET, "Range: bytes=1-2\r\n", "\r\n", 20, 900 },
	{ "if-range", GET "Range: bytes=1-2\r\nIf-Range: \"", "a", "\"\r\n\r\n",
	    20, 300000 },
};

static void
conditions_and_ranges_are_linear(void **state)
{
	(void)state;
	CHECK(conditions, run_static);
}

static const struct setting *of; /* the setting whose value is read */

static void
run_value(const char *text, size_t n, size_t step)
{
	struct settings s = { .n_apps = 0 };

	(void)n;
	(void)step; /* a value is there in one piece */
	assert_null(setting_parse(&s, of, text));
	if (of->type->fini != NULL)
		of->type->fini(setting_field(&s, of));
}

/* As long as they may be: lists have an end. */
static const struct input trusts[] = {
	{ "networks", "", "10.0.0.0/8, ", "fd00::/8", 20, 250 },
	{ "long ones", "", "0:0:0:0:0:ffff:10.0.0.1, ", "::1", 20, 250 },
	{ "spaces", "10.0.0.1,", " ", "::1", 20, 200000 },
	{ "spaces behind", "10.0.0.1", " ", ",::1", 20, 200000 },
};

static const struct input binds[] = {
	/* each compared with those before it, 63 at most */
	{ "paths", "", "unix:/@, ", "unix:/a", 63, 63 },
	{ "zeros", "127.0.0.1:", "0", "1", 20, 200 },
};

static const struct input sizes[] = {
	{ "zeros", "", "0", "1k", 20, 200000 },
};

static void
values_are_linear(void **state)
{
	(void)state;
	of = setting_at(ROW_proxy_trust);
	CHECK(trusts, run_value);
	of = setting_at(ROW_server_bind);
	CHECK(binds, run_value);
	of = setting_at(ROW_http_max_body);
	CHECK(sizes, run_value);
}

static int
trust_new(void **state)
{
	(void)state;
	return trust_parse(&trust, "10.0.0.0/8, fd00::/8") == NULL ? 0 : -1;
}

static int
trust_end(void **state)
{
	(void)state;
	trust_fini(&trust);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_are_linear),
		cmocka_unit_test(chunks_are_linear),
		cmocka_unit_test(uris_are_linear),
		cmocka_unit_test(fields_of_proxies_are_linear),
		cmocka_unit_test(proxy_headers_are_linear),
		cmocka_unit_test(conditions_and_ranges_are_linear),
		cmocka_unit_test(values_are_linear),
	};

	return cmocka_run_group_tests(tests, trust_new, trust_end);
}
