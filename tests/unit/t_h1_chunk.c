/* The chunk decoder; tests/http has whole requests with chunked bodies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "worker/http/h1_chunk.h"
#include "worker/str.h"

static const struct h1_limits limits = {
	.request_line = 8192,
	.field = 8192,
	.fields = 3,
	.head = 320,
};

struct decoded {
	enum h1_result result;
	size_t taken, made;
	char out[512];
};

/* in pieces of in_step bytes, with room for out_step bytes each time */
static struct decoded
decode(struct str in, size_t in_step, size_t out_step)
{
	struct decoded d = { .result = H1_MORE };
	struct h1_chunk c;

	h1_chunk_init(&c, &limits, UINT64_MAX);
	while (d.result == H1_MORE) {
		size_t n = in.n - d.taken < in_step ? in.n - d.taken : in_step;
		size_t room = out_step;

		d.result = h1_chunk_decode(&c, in.p + d.taken, &n,
		    d.out + d.made, &room);
		d.taken += n;
		d.made += room;
		if (n == 0 && room == 0)
			break;
	}
	return d;
}

static void
expect(struct str in, enum h1_result result, struct str body)
{
	static const size_t steps[][2] = { { 512, 512 }, { 1, 512 }, { 1, 1 },
		{ 512, 1 }, { 3, 2 } };

	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		struct decoded d = decode(in, steps[i][0], steps[i][1]);

		if (d.result != result)
			fail_msg("%.*s in steps of %zu: %s", (int)in.n, in.p,
			    steps[i][0], h1_result_text(d.result));
		assert_int_equal(d.made, body.n);
		assert_memory_equal(d.out, body.p, body.n);
		if (result == H1_OK)
			assert_int_equal(d.taken, in.n);
	}
}

static void
chunks_are_joined(void **state)
{
	(void)state;
	expect(STR("5\r\nhello\r\n0\r\n\r\n"), H1_OK, STR("hello"));
	expect(STR("1\r\na\r\n2;x=\"y\"\r\nbc\r\n0;z\r\n\r\n"), H1_OK,
	    STR("abc"));
	expect(STR("A\r\n0123456789\r\n0b\r\n0123456789a\r\n00\r\n\r\n"), H1_OK,
	    STR("01234567890123456789a"));
	expect(STR("0\r\nA: b\r\nC:\r\n\r\n"), H1_OK, STR(""));
}

static void
a_size_beyond_max_body_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *in;
		enum h1_result result;
	} t[] = {
		{ "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", H1_OK },
		{ "6", H1_MORE },
		{ "6;ext\r", H1_MORE },
		{ "6\r\n", H1_BODY_TOO_LONG },
		{ "6;ext\r\n", H1_BODY_TOO_LONG },
		{ "7fffffffffffffff\r\n", H1_BODY_TOO_LONG },
		{ "3\r\nabc\r\n3\r\n", H1_BODY_TOO_LONG },
		{ "3\r\nabc\r\n7fffffffffffffff\r\n", H1_BODY_TOO_LONG },
		{ "6 \r\n", H1_BAD_CHUNK_EXT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct h1_chunk c;
		size_t n = strlen(t[i].in), room = 64;
		char out[64];

		h1_chunk_init(&c, &limits, 5);
		assert_int_equal(h1_chunk_decode(&c, t[i].in, &n, out, &room),
		    t[i].result);
	}
}

/* 1-byte chunks with an extension each, after one of `before` bytes. */
static enum h1_result
extended(size_t before, unsigned chunks, unsigned *taken)
{
	static const char chunk[] = "1;12345678\r\nx\r\n";
	char first[400];
	struct h1_chunk c;
	char out[400];
	size_t n, room = sizeof out;
	enum h1_result r;

	h1_chunk_init(&c, &limits, UINT64_MAX);
	n = (size_t)snprintf(first, sizeof first, "%zx\r\n%0*d\r\n", before,
	    (int)before, 0);
	r = h1_chunk_decode(&c, first, &n, out, &room);
	for (*taken = 0; r == H1_MORE && *taken < chunks; ++*taken) {
		n = sizeof chunk - 1;
		room = sizeof out;
		r = h1_chunk_decode(&c, chunk, &n, out, &room);
	}
	return r;
}

/* puma CVE-2024-21647: each chunk had its limit, all of them had none. */
static void
extensions_without_end_are_refused(void **state)
{
	unsigned n;

	(void)state;
	/* 9 bytes each: of 320 for a head, and one for each 8 of the body */
	assert_int_equal(extended(1, 36, &n), H1_MORE);
	assert_int_equal(extended(1, 1000, &n), H1_CHUNK_EXT_TOO_LONG);
	assert_int_equal(n, 37);
	assert_int_equal(extended(256, 1000, &n), H1_CHUNK_EXT_TOO_LONG);
	assert_int_equal(n, 40);
}

/* RFC 9112 7.1.1, RFC 9110 5.6.3: a recipient MUST parse it. */
static void
bad_whitespace_is_taken_where_the_grammar_has_it(void **state)
{
	static const char *const sizes[] = { "1 ;a", "1\t;a", "1 \t ; \t a",
		"1;a ;b", "1;a =b", "1;a= b", "1 ; a = b ; c = \"d\" ; e",
		"1;a=\"b\" ;c", "1;a=\" \t;=\\\"\\\\\\ \xff\"", "1;a=\"\"",
		"1;!#$%&'*+-.^_`|~09azAZ=b" };
	char in[64];

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		int n = snprintf(in, sizeof in, "%s\r\nx\r\n0 ; z\r\n\r\n",
		    sizes[i]);

		expect((struct str){ in, (size_t)n }, H1_OK, STR("x"));
	}
}

/* What the grammar has not is where two servers may find two ends. */
static void
an_extension_that_is_none_is_refused(void **state)
{
	static const char *const sizes[] = { "1 \r\n", "1\t\r\n", "1 1\r\n",
		"1 a\r\n", "1;\r\n", "1; \r\n", "1;;a\r\n", "1;a;\r\n",
		"1;a \r\n", "1;a=\r\n", "1;a= \r\n", "1;a=b \r\n", "1;a b\r\n",
		"1;a=b c\r\n", "1;a=b=c\r\n", "1;=b\r\n", "1;a=\"b\r\n",
		"1;a=\"b\\\"\r\n", "1;a=\"b\"c\r\n", "1;a=\"b\" \r\n",
		"1;a=b\"c\"\r\n", "1;\"a\"\r\n", "1;a(\r\n", "1;a=@\r\n",
		"1;a\xff\r\n", "1;a\n", "1;a=\"\n", "1;a=\"\\\n", "1;a=\"\r\n",
		"1;a=\"\\\r", "1;a\x01\r\n", "1;a=\"\x7f\"\r\n", "1 ;\va\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		expect((struct str){ sizes[i], strlen(sizes[i]) },
		    H1_BAD_CHUNK_EXT, STR(""));
	expect(STR("1;a\0"), H1_BAD_CHUNK_EXT, STR(""));
	expect(STR("1 ;a\rb"), H1_BARE_CR, STR(""));
}

static void
what_follows_the_body_is_not_taken(void **state)
{
	static const char in[] = "1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
	struct h1_chunk c;
	size_t n = sizeof in - 1, room = 64;
	char out[64];

	(void)state;
	h1_chunk_init(&c, &limits, UINT64_MAX);
	assert_int_equal(h1_chunk_decode(&c, in, &n, out, &room), H1_OK);
	assert_int_equal(n, 11);
	assert_int_equal(room, 1);
	n = 16;
	room = 64;
	assert_int_equal(h1_chunk_decode(&c, in + 11, &n, out, &room), H1_OK);
	assert_int_equal(n, 0);
	assert_int_equal(room, 0);
}

static void
a_body_is_decoded_in_its_own_place(void **state)
{
	char buf[] = "3\r\nabc\r\n4\r\ndefg\r\n0\r\nX: y\r\n\r\n";
	struct h1_chunk c;
	size_t n = sizeof buf - 1, room = n;

	(void)state;
	h1_chunk_init(&c, &limits, UINT64_MAX);
	assert_int_equal(h1_chunk_decode(&c, buf, &n, buf, &room), H1_OK);
	assert_int_equal(room, 7);
	assert_memory_equal(buf, "abcdefg", 7);
}

static void
a_full_output_stops_the_input(void **state)
{
	static const char in[] = "5\r\nhello\r\n0\r\n\r\n";
	struct h1_chunk c;
	size_t n = sizeof in - 1, room = 2;
	char out[8];

	(void)state;
	h1_chunk_init(&c, &limits, UINT64_MAX);
	assert_int_equal(h1_chunk_decode(&c, in, &n, out, &room), H1_MORE);
	assert_int_equal(n, 5);
	assert_int_equal(room, 2);
	room = 0;
	n = 10;
	assert_int_equal(h1_chunk_decode(&c, in + 5, &n, out, &room), H1_MORE);
	assert_int_equal(n, 0);
	room = 3;
	n = 10;
	assert_int_equal(h1_chunk_decode(&c, in + 5, &n, out, &room), H1_OK);
	assert_int_equal(n, 10);
	assert_memory_equal(out, "llo", 3);
}

static void
an_unfinished_body_wants_more(void **state)
{
	static const char in[] = "2;e\r\nab\r\n0\r\nX: y\r\n\r\n";

	(void)state;
	for (size_t n = 0; n < sizeof in - 1; n++) {
		struct decoded d = decode((struct str){ in, n }, 512, 512);

		assert_int_equal(d.result, H1_MORE);
		assert_int_equal(d.taken, n);
	}
}

static void
sizes_end_below_2_to_the_63(void **state)
{
	(void)state;
	expect(STR("7fffffffffffffff\r\na"), H1_MORE, STR("a"));
	expect(STR("8000000000000000\r\na"), H1_BAD_CHUNK_SIZE, STR(""));
	expect(STR("ffffffffffffffff\r\na"), H1_BAD_CHUNK_SIZE, STR(""));
	expect(STR("10000000000000000\r\na"), H1_BAD_CHUNK_SIZE, STR(""));
	expect(STR("00000000000000001\r\na"), H1_BAD_CHUNK_SIZE, STR(""));
}

static void
the_size_of_each_chunk_starts_anew(void **state)
{
	(void)state;
	expect(STR("0000000000000001\r\na\r\n0000000000000001\r\nb\r\n0\r\n"
		   "\r\n"),
	    H1_OK, STR("ab"));
}

static void
an_extension_is_bounded(void **state)
{
	char in[512];
	int n;

	(void)state;
	n = snprintf(in, sizeof in, "1;%0*d\r\na\r\n1;%0*d\r\nb\r\n0\r\n\r\n",
	    H1_CHUNK_EXT_BYTES - 1, 0, 10, 0);
	expect((struct str){ in, (size_t)n }, H1_OK, STR("ab"));
	n = snprintf(in, sizeof in, "1;%0*d", H1_CHUNK_EXT_BYTES, 0);
	expect((struct str){ in, (size_t)n }, H1_CHUNK_EXT_TOO_LONG, STR(""));
	n = snprintf(in, sizeof in, "1%*s", H1_CHUNK_EXT_BYTES + 1, ";");
	expect((struct str){ in, (size_t)n }, H1_CHUNK_EXT_TOO_LONG, STR(""));
}

static void
trailers_are_bounded_together(void **state)
{
	char in[512];
	int n;

	(void)state;
	/* 3 fields, 320 bytes with the line ends */
	expect(STR("0\r\nA:\r\nB:\r\nC:\r\n\r\n"), H1_OK, STR(""));
	expect(STR("0\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\n"), H1_TOO_MANY_TRAILERS,
	    STR(""));
	n = snprintf(in, sizeof in, "0\r\nA: %0*d\r\nB: 0\r\n\r\n", 307, 0);
	expect((struct str){ in, (size_t)n }, H1_OK, STR(""));
	n = snprintf(in, sizeof in, "0\r\nA: %0*d\r\nB: 0\r\n\r\n", 308, 0);
	expect((struct str){ in, (size_t)n }, H1_TRAILERS_TOO_LONG, STR(""));
}

static void
framing_does_not_hide_in_trailers(void **state)
{
	(void)state;
	expect(STR("0\r\nTransfer-Encoding: chunked\r\n\r\n"),
	    H1_FORBIDDEN_TRAILER, STR(""));
	expect(STR("0\r\ncontent-LENGTH: 1\r\n\r\n"), H1_FORBIDDEN_TRAILER,
	    STR(""));
	/* as long as the longest name that is kept, and one more */
	expect(STR("0\r\nX23456789012345678901234: 1\r\n\r\n"), H1_OK, STR(""));
	expect(STR("0\r\nX234567890123456789012345: 1\r\n\r\n"), H1_OK,
	    STR(""));
	/* what was long before does not show through what is short after */
	expect(STR("0\r\nContent-Lengthy: 1\r\nX: 1\r\n\r\n"), H1_OK, STR(""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_are_joined),
		cmocka_unit_test(
		    a_size_beyond_max_body_is_refused_with_its_line),
		cmocka_unit_test(extensions_without_end_are_refused),
		cmocka_unit_test(
		    bad_whitespace_is_taken_where_the_grammar_has_it),
		cmocka_unit_test(an_extension_that_is_none_is_refused),
		cmocka_unit_test(what_follows_the_body_is_not_taken),
		cmocka_unit_test(a_body_is_decoded_in_its_own_place),
		cmocka_unit_test(a_full_output_stops_the_input),
		cmocka_unit_test(an_unfinished_body_wants_more),
		cmocka_unit_test(sizes_end_below_2_to_the_63),
		cmocka_unit_test(the_size_of_each_chunk_starts_anew),
		cmocka_unit_test(an_extension_is_bounded),
		cmocka_unit_test(trailers_are_bounded_together),
		cmocka_unit_test(framing_does_not_hide_in_trailers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
