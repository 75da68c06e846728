/* The request head, and tests/http: every case whole, split anywhere, and byte
 * by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>

#include <cmocka.h>

#include <prefork/module.h>

#include "worker/http/h1_chunk.h"
#include "worker/http/h1_parse.h"
#include "worker/str.h"

#ifndef TESTS_DIR
#define TESTS_DIR "tests"
#endif

#define MAX_FIELDS 100

static const struct h1_limits defaults = {
	.request_line = 8192,
	.field = 8192,
	.fields = MAX_FIELDS,
	.head = 65536,
};

struct bytes {
	char *p;
	size_t n;
};

/* NUL after the end, which does not count. */
static struct bytes
file_read(const char *path)
{
	struct bytes b = { NULL, 0 };
	FILE *f = fopen(path, "rb"), *mem = open_memstream(&b.p, &b.n);
	int c;

	assert_non_null(mem);
	if (f == NULL)
		fail_msg("cannot open %s", path);
	while ((c = getc(f)) != EOF)
		putc(c, mem);
	fclose(f);
	fclose(mem);
	assert_non_null(b.p);
	return b;
}

/* ---- a message as text, in the form of the .expect files ---------------- */

static void
write_str(FILE *out, const char *key, struct str s)
{
	fprintf(out, "%s: ", key);
	fwrite(s.p, 1, s.n, out);
	putc('\n', out);
}

static void
write_span(FILE *out, const char *key, const char *buf, struct h1_span s)
{
	write_str(out, key, (struct str){ buf + s.at, s.n });
}

static void
write_head(FILE *out, const struct h1_head *h, const char *buf)
{
	for (uint32_t i = 0; i < h->n_fields; i++) {
		const struct h1_field *f = &h->field[i];

		fputs("field: ", out);
		fwrite(buf + f->name.at, 1, f->name.n, out);
		putc('=', out);
		fwrite(buf + f->value.at, 1, f->value.n, out);
		fputs(f->flags & PF_HF_REPEATED ? " (repeated)\n" : "\n", out);
	}
}

static void
write_mistake(FILE *out, enum h1_result r)
{
	fprintf(out, "%u\nreason: %s\n", h1_result_status(r),
	    h1_result_text(r));
}

static void
write_message(FILE *out, const struct h1_head *h, const char *buf,
    const char *body, size_t rest)
{
	fputs("ok\n", out);
	write_span(out, "method", buf, h->method);
	write_span(out, "target", buf, h->target);
	write_str(out, "raw_path", h1_raw_path(h, buf));
	write_span(out, "query", buf, h->query);
	write_span(out, "authority", buf, h->authority);
	if (h->https)
		fputs("scheme: https\n", out);
	fprintf(out, "minor: %d\nkeepalive: %s\nexpect: %s\n", h->minor,
	    h->keepalive ? "yes" : "no", h->expect_continue ? "yes" : "no");
	fprintf(out, "body: %s\nrest: %zu\nlength: %u\n", body, rest,
	    h->length);
	write_head(out, h, buf);
}

/* Decodes p[0..*n) in pieces of `step`; *n becomes what it took. */
static enum h1_result
body_decode(const char *p, size_t *n, size_t step, size_t *made)
{
	struct h1_chunk c;
	enum h1_result r = H1_MORE;
	char *out = malloc(*n + 1);
	size_t at = 0;

	assert_non_null(out);
	h1_chunk_init(&c, &defaults, UINT64_MAX);
	*made = 0;
	while (r == H1_MORE && at < *n) {
		size_t k = *n - at < step ? *n - at : step;
		size_t room = *n - *made;

		r = h1_chunk_decode(&c, p + at, &k, out + *made, &room);
		at += k;
		*made += room;
	}
	free(out);
	*n = at;
	return r;
}

/* What follows a head that is complete. */
static void
write_body(FILE *out, const struct h1_head *h, struct bytes in, size_t step)
{
	size_t n = in.n - h->length, made = 0, rest = n;
	enum h1_result r = H1_OK;
	char body[64] = "none";

	if (h->chunked) {
		r = body_decode(in.p + h->length, &n, step, &made);
		snprintf(body, sizeof body, "chunked %zu", made);
		rest -= n;
	} else if (h->has_length) {
		assert_true(h->content_length <= n);
		snprintf(body, sizeof body, "%zu", (size_t)h->content_length);
		rest -= (size_t)h->content_length;
	}
	if (r == H1_OK)
		write_message(out, h, in.p, body, rest);
	else
		write_mistake(out, r);
}

/*
 * Parses what is there after first, first + step, first + 2 step ... bytes.
 * Each time the bytes lie elsewhere and end where the memory ends.
 */
static char *
described(struct bytes in, size_t first, size_t step)
{
	struct h1_field field[MAX_FIELDS];
	struct h1_head h;
	enum h1_result r = H1_MORE;
	char *text = NULL;
	size_t n_text;
	FILE *out = open_memstream(&text, &n_text);

	assert_non_null(out);
	h1_head_init(&h, &defaults, field);
	for (size_t n = first; r == H1_MORE; n += step) {
		char *copy;

		n = n < in.n ? n : in.n;
		copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, in.p, n);
		r = h1_parse(&h, copy, n);
		free(copy);
		if (n == in.n)
			break;
	}
	if (r == H1_OK)
		write_body(out, &h, in, step);
	else
		write_mistake(out, r);
	fclose(out);
	return text;
}

static void
check(const char *name, struct bytes in, size_t first, size_t step,
    const char *want)
{
	char *got = described(in, first, step);

	if (strcmp(got, want) != 0)
		fail_msg("%s, %zu bytes, then %zu at a time:\n%swant:\n%s",
		    name, first, step, got, want);
	free(got);
}

/* Copying makes a walk byte by byte quadratic: long cases take long steps. */
static size_t
stride(size_t n)
{
	return n < 1024 ? 1 : n / 256;
}

static void
check_file(const char *dir, const char *name)
{
	char path[512];
	struct bytes in, want;
	size_t step;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	in = file_read(path);
	memcpy(strrchr(path, '.'), ".expect", sizeof ".expect");
	want = file_read(path);
	step = stride(in.n);
	for (size_t at = 0; at < in.n; at += step)
		check(name, in, at, in.n, want.p);
	check(name, in, in.n, in.n, want.p);
	check(name, in, 0, step, want.p);
	free(in.p);
	free(want.p);
}

static unsigned
check_directory(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	unsigned n = 0;

	if (d == NULL) {
		fail_msg("cannot open %s", dir);
		return 0;
	}
	while ((e = readdir(d)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
		const char *dot = strrchr(e->d_name, '.');

		if (dot == NULL || strcmp(dot, ".http") != 0)
			continue;
		check_file(dir, e->d_name);
		n++;
	}
	closedir(d);
	return n;
}

static void
every_valid_request_is_understood_however_it_is_split(void **state)
{
	(void)state;
	assert_true(check_directory(TESTS_DIR "/http/valid") >= 40);
}

static void
every_invalid_request_is_refused_however_it_is_split(void **state)
{
	(void)state;
	assert_true(check_directory(TESTS_DIR "/http/invalid") >= 110);
}

/* ---- what the corpus does not show --------------------------------------- */

static enum h1_result
parse(struct h1_head *h, struct h1_field *field, const char *s)
{
	h1_head_init(h, &defaults, field);
	return h1_parse(h, s, strlen(s));
}

static void
every_beginning_of_a_request_wants_more(void **state)
{
	static const char s[] =
	    "\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n";
	struct h1_field field[MAX_FIELDS];
	struct h1_head h;

	(void)state;
	for (size_t n = 0; n < sizeof s - 1; n++) {
		h1_head_init(&h, &defaults, field);
		assert_int_equal(h1_parse(&h, s, n), H1_MORE);
	}
	assert_int_equal(parse(&h, field, s), H1_OK);
	assert_int_equal(h.length, sizeof s - 1);
}

static void
methods_are_told_apart_with_their_case(void **state)
{
	static const struct {
		const char *name;
		enum h1_method id;
	} t[] = {
		{ "GET", H1_METHOD_GET },
		{ "HEAD", H1_METHOD_HEAD },
		{ "POST", H1_METHOD_POST },
		{ "PUT", H1_METHOD_PUT },
		{ "DELETE", H1_METHOD_DELETE },
		{ "OPTIONS", H1_METHOD_OPTIONS },
		{ "PATCH", H1_METHOD_OTHER },
		{ "get", H1_METHOD_OTHER },
		{ "Head", H1_METHOD_OTHER },
		{ "PUS", H1_METHOD_OTHER },
		{ "DELETES", H1_METHOD_OTHER },
		{ "POS", H1_METHOD_OTHER },
	};
	struct h1_field field[MAX_FIELDS];
	struct h1_head h;
	char line[64];

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		snprintf(line, sizeof line, "%s / HTTP/1.0\r\n\r\n", t[i].name);
		assert_int_equal(parse(&h, field, line), H1_OK);
		assert_int_equal(h.method_id, t[i].id);
	}
	assert_int_equal(parse(&h, field, "CONNECT a:1 HTTP/1.0\r\n\r\n"),
	    H1_OK);
	assert_int_equal(h.method_id, H1_METHOD_CONNECT);
}

static void
well_known_fields_carry_their_number(void **state)
{
	struct h1_field field[MAX_FIELDS];
	struct h1_head h;

	(void)state;
	assert_int_equal(parse(&h, field,
			     "GET / HTTP/1.1\r\nhOST: a\r\nX-Y: 1\r\n"
			     "Content-Length: 18446\r\n\r\n"),
	    H1_OK);
	assert_int_equal(h.n_fields, 3);
	assert_int_equal(field[0].id, PF_H_HOST);
	assert_int_equal(field[1].id, PF_H_OTHER);
	assert_int_equal(field[2].id, PF_H_CONTENT_LENGTH);
	assert_true(h.has_length);
	assert_int_equal(h.content_length, 18446);
}

static void
what_an_application_would_confuse_is_left_out_and_counted(void **state)
{
	static const char in[] =
	    "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1.2.3.4\r\n"
	    "pROXY: http://evil/\r\nProxyy: kept\r\nA_: b\r\n\r\n";
	struct h1_field field[MAX_FIELDS];
	struct h1_head h;

	(void)state;
	assert_int_equal(parse(&h, field, in), H1_OK);
	assert_int_equal(h.n_fields, 2);
	assert_memory_equal(in + field[1].name.at, "Proxyy", 6);
	assert_int_equal(h.n_dropped, 3);
	assert_memory_equal(in + h.dropped.at, "A_", 2);
	assert_false(h.forwarding);
}

static void
fields_of_a_proxy_are_noticed(void **state)
{
	static const struct {
		const char *name;
		bool forwarding;
	} t[] = {
		{ "forwarded", true },
		{ "X-Forwarded-For", true },
		{ "X-Forwarded-Proto", true },
		{ "X-Forwarded-Host", true },
		{ "x-forwarded-port", true },
		{ "X-FORWARDED-", true },
		{ "X-Real-Ip", true },
		{ "X-Request-ID", true },
		{ "X-Forwarded", false },
		{ "X-Forwarder-For", false },
		{ "X-Real-IPs", false },
		{ "Via", false },
	};
	struct h1_field field[MAX_FIELDS];
	struct h1_head h;
	char in[100];

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		snprintf(in, sizeof in, "GET / HTTP/1.0\r\n%s: x\r\n\r\n",
		    t[i].name);
		assert_int_equal(parse(&h, field, in), H1_OK);
		if (h.forwarding != t[i].forwarding)
			fail_msg("%s", t[i].name);
	}
}

static void
the_largest_content_length_is_that_of_a_file(void **state)
{
	struct h1_field field[MAX_FIELDS];
	struct h1_head h;

	(void)state;
	assert_int_equal(parse(&h, field,
			     "PUT / HTTP/1.0\r\n"
			     "Content-Length: 9223372036854775807\r\n\r\n"),
	    H1_OK);
	assert_true(h.content_length == INT64_MAX);
}

/* Wherever the byte stands: targets are checked 16 bytes at a time. */
static void
a_target_holds_visible_ascii_but_no_fragment(void **state)
{
	struct h1_field field[MAX_FIELDS];
	struct h1_head h;
	char line[] = "GET /---------------------------------------- HTTP/1.0"
		      "\r\n\r\n";

	(void)state;
	for (size_t at = 5; at < 45; at++) {
		for (int c = 0; c < 256; c++) {
			bool ok = c > ' ' && c < 0x7f && c != '#';

			if (c == '\n') /* ends the line */
				continue;
			line[at] = (char)c;
			h1_head_init(&h, &defaults, field);
			assert_int_equal(h1_parse(&h, line, sizeof line - 1),
			    ok ? H1_OK : H1_BAD_TARGET);
			line[at] = '-';
		}
	}
}

/* A line may be refused before its end arrives, but not before it is too long.
 */
static void
limits_hold_to_the_byte(void **state)
{
	static const struct h1_limits small = {
		.request_line = 16,
		.field = 6,
		.fields = 2,
		.head = 32,
	};
	static const struct {
		const char *in;
		enum h1_result want;
	} t[] = {
		{ "GET /ab HTTP/1.0\r", H1_MORE },
		{ "GET /ab HTTP/1.0\r\n", H1_MORE },
		{ "GET /ab HTTP/1.0X", H1_REQUEST_LINE_TOO_LONG },
		{ "GET /ab HTTP/1.0\rX", H1_REQUEST_LINE_TOO_LONG },
		{ "GET /abc HTTP/1.0\r\n", H1_REQUEST_LINE_TOO_LONG },
		{ "GET / HTTP/1.0\r\nA: bcd\r\n\r\n", H1_OK },
		{ "GET / HTTP/1.0\r\nA: bcde", H1_FIELD_TOO_LONG },
		{ "GET / HTTP/1.0\r\nA: bcde\r\n\r\n", H1_FIELD_TOO_LONG },
		{ "GET / HTTP/1.0\r\nA:\r\nB:\r\n\r\n", H1_OK },
		{ "GET / HTTP/1.0\r\nA:\r\nB:\r\nC:\r\n", H1_TOO_MANY_FIELDS },
		{ "GET / HTTP/1.0\r\nA: bc\r\nB: bcd\r\n\r\n",
		    H1_HEAD_TOO_LONG },
		{ "GET / HTTP/1.0\r\nA: bc\r\nB: bc\r\n\r\n", H1_OK },
		{ "GET / HTTP/1.0\r\nA: bc\r\nB: bc\r\n\r\nmore", H1_OK },
		{ "GET / HTTP/1.0\r\nA_: b\r\nA_: b\r\nA_: b\r\n\r\n",
		    H1_HEAD_TOO_LONG },
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		for (size_t cut = 0; cut <= strlen(t[i].in); cut++) {
			struct h1_field field[2];
			struct h1_head h;
			enum h1_result r;

			h1_head_init(&h, &small, field);
			r = h1_parse(&h, t[i].in, cut);
			if (r == H1_MORE)
				r = h1_parse(&h, t[i].in, strlen(t[i].in));
			if (r != t[i].want)
				fail_msg("row %zu cut at %zu: %s", i, cut,
				    h1_result_text(r));
		}
	}
}

/* Bytes before scan_at are not searched again: the test overwrites all of
 * them but those of the line in work. */
static void
a_head_that_comes_byte_by_byte_is_looked_at_once(void **state)
{
	static char buf[65536];
	struct h1_field field[MAX_FIELDS];
	struct h1_head h;
	size_t n = 0;
	uint32_t wiped = 0;

	(void)state;
	n = (size_t)snprintf(buf, sizeof buf, "GET / HTTP/1.0\r\n");
	for (int i = 0; i < 7; i++)
		n += (size_t)snprintf(buf + n, sizeof buf - n,
		    "X%d: %08000d\r\n", i, i);
	n += (size_t)snprintf(buf + n, sizeof buf - n, "\r\n");
	h1_head_init(&h, &defaults, field);
	for (size_t at = 1; at < n; at++) {
		assert_int_equal(h1_parse(&h, buf, at), H1_MORE);
		assert_int_equal(h.scan_at, at);
		/* the parser compares names with those before */
		for (; wiped + 9000 < at; wiped++)
			if (buf[wiped] == '0')
				buf[wiped] = '\n';
	}
	assert_int_equal(h1_parse(&h, buf, n), H1_OK);
	assert_int_equal(h.n_fields, 7);
}

static void
every_mistake_has_a_status_and_a_text(void **state)
{
	(void)state;
#define H1_RESULT(name, status, text)                                          \
	assert_int_equal(h1_result_status(H1_##name), status);                 \
	assert_in_range(h1_result_status(H1_##name), 400, 599);                \
	assert_string_equal(h1_result_text(H1_##name), text);
#include "worker/http/h1_result.def"
#undef H1_RESULT
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    every_valid_request_is_understood_however_it_is_split),
		cmocka_unit_test(
		    every_invalid_request_is_refused_however_it_is_split),
		cmocka_unit_test(every_beginning_of_a_request_wants_more),
		cmocka_unit_test(methods_are_told_apart_with_their_case),
		cmocka_unit_test(well_known_fields_carry_their_number),
		cmocka_unit_test(
		    what_an_application_would_confuse_is_left_out_and_counted),
		cmocka_unit_test(fields_of_a_proxy_are_noticed),
		cmocka_unit_test(the_largest_content_length_is_that_of_a_file),
		cmocka_unit_test(a_target_holds_visible_ascii_but_no_fragment),
		cmocka_unit_test(limits_hold_to_the_byte),
		cmocka_unit_test(
		    a_head_that_comes_byte_by_byte_is_looked_at_once),
		cmocka_unit_test(every_mistake_has_a_status_and_a_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
