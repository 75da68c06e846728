#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/http/body.h"

#define MEMORY 4096

static const struct h1_limits h1 = { .request_line = 256,
	.field = 256,
	.fields = 8,
	.head = 256 };

static const struct body_limits held = { .max = 1 << 20,
	.memory = MEMORY,
	.dir = "/tmp" };
static const struct body_limits streamed = { .max = 1 << 20,
	.memory = MEMORY,
	.dir = "/tmp",
	.stream = true };

static void
announce_length(struct body *b, const struct body_limits *l, uint64_t n)
{
	struct h1_head head = { .has_length = true, .content_length = n };

	body_init(b, &head, &h1, l);
}

static void
announce_chunked(struct body *b, const struct body_limits *l)
{
	struct h1_head head = { .chunked = true };

	body_init(b, &head, &h1, l);
}

/* The i-th byte of every body here. */
static char
byte_at(size_t i)
{
	return (char)('a' + i % 23 + i / 4096 % 3);
}

static char *
pattern(size_t n)
{
	char *p = malloc(n + 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = byte_at(i);
	p[n] = '\0';
	return p;
}

/* The pattern as chunks of `each` bytes; *len is what they take. */
static char *
chunked(size_t n, size_t each, size_t *len)
{
	char *p = malloc(2 * n + 64 * (n / each + 2)), *at = p;
	char *raw = pattern(n);

	assert_non_null(p);
	for (size_t i = 0; i < n; i += each) {
		size_t k = n - i < each ? n - i : each;

		at += sprintf(at, "%zx\r\n", k);
		memcpy(at, raw + i, k);
		at += k;
		at += sprintf(at, "\r\n");
	}
	at += sprintf(at, "0\r\n\r\n");
	free(raw);
	*len = (size_t)(at - p);
	return p;
}

/* Feeds wire[0..n) in steps, never more than is wanted; what is left of it. */
static enum body_result
feed(struct body *b, const struct body_limits *l, const char *wire, size_t n,
    size_t step, size_t *rest)
{
	enum body_result result = BODY_MORE;
	char *copy = malloc(step);
	size_t at = 0;

	assert_non_null(copy);
	while (result == BODY_MORE && at < n) {
		size_t k = n - at < step ? n - at : step;

		k = body_wants(b, k);
		if (k == 0)
			break;
		memcpy(copy, wire + at, k);
		result = body_feed(b, l, copy, &k);
		at += k;
	}
	free(copy);
	if (rest != NULL)
		*rest = n - at;
	return result;
}

/* Reads all that is there, `step` bytes at a time; returns what ended it. */
static int
drain(struct body *b, size_t *at, size_t step)
{
	pf_str s;
	int result;

	while ((result = body_peek(b, &s)) == PF_OK) {
		size_t k = s.n < step ? s.n : step;

		assert_true(s.n > 0);
		for (size_t i = 0; i < k; i++)
			assert_int_equal(s.p[i], byte_at(*at + i));
		body_consume(b, k);
		*at += k;
	}
	assert_null(s.p);
	assert_int_equal(s.n, 0);
	return result;
}

static void
expect_whole(struct body *b, size_t n, size_t step)
{
	size_t at = 0;

	assert_true(b->complete);
	assert_int_equal(b->received, n);
	assert_int_equal(drain(b, &at, step), PF_EOF);
	assert_int_equal(at, n);
	assert_int_equal(body_wants(b, 65536), 0);
}

static void
a_body_that_came_with_the_head_stays_where_it_is(void **state)
{
	struct body b;
	char *raw = pattern(100);
	size_t n = 100;
	pf_str s;

	(void)state;
	for (size_t length = 1; length <= 100; length += 33) {
		announce_length(&b, length < 50 ? &held : &streamed, length);
		n = 100;
		assert_int_equal(body_feed_first(&b, &held, raw, &n),
		    BODY_DONE);
		assert_int_equal(n, length);
		assert_int_equal(b.place, BODY_SLICE);
		assert_int_equal(body_peek(&b, &s), PF_OK);
		assert_ptr_equal(s.p, raw);
		expect_whole(&b, length, 7);
		body_fini(&b);
	}
	free(raw);
}

static void
no_body_is_complete_at_once(void **state)
{
	struct body b;
	char raw[] = "GET / HTTP/1.1";
	size_t n = sizeof raw - 1;

	(void)state;
	announce_length(&b, &held, 0);
	assert_int_equal(body_wants(&b, 100), 0);
	assert_int_equal(body_feed_first(&b, &held, raw, &n), BODY_DONE);
	assert_int_equal(n, 0);
	expect_whole(&b, 0, 1);
	body_fini(&b);
}

static void
bytes_of_the_next_request_are_left_alone(void **state)
{
	static const char wire[] = "5\r\nabcde\r\n0\r\n\r\nGET / HTTP/1.1";
	struct body b;
	char raw[64] = "";
	size_t n = sizeof wire - 1, rest;

	(void)state;
	announce_chunked(&b, &held);
	snprintf(raw, sizeof raw, "%s", wire);
	assert_int_equal(body_feed_first(&b, &held, raw, &n), BODY_DONE);
	assert_int_equal(sizeof wire - 1 - n, 14);
	assert_memory_equal(raw + n, "GET / HTTP/1.1", 14);
	expect_whole(&b, 5, 2);
	body_fini(&b);

	announce_length(&b, &held, 10);
	assert_int_equal(body_wants(&b, 100), 10);
	assert_int_equal(feed(&b, &held, "abcd", 4, 4, NULL), BODY_MORE);
	assert_int_equal(body_wants(&b, 100), 6);
	snprintf(raw, sizeof raw, "efghijGET /");
	n = 11;
	assert_int_equal(body_feed(&b, &held, raw, &n), BODY_DONE);
	assert_int_equal(n, 6);
	assert_memory_equal(raw + n, "GET /", 5);
	expect_whole(&b, 10, 3);
	body_fini(&b);

	announce_chunked(&b, &streamed);
	assert_int_equal(feed(&b, &streamed, wire, sizeof wire - 1, 64, &rest),
	    BODY_DONE);
	assert_int_equal(rest, 14);
	body_fini(&b);
}

/* However it is announced, wherever it is kept, in whatever steps it comes. */
static void
the_same_bytes_come_out(void **state)
{
	static const size_t sizes[] = { 1, 2, 100, MEMORY - 1, MEMORY,
		MEMORY + 1, MEMORY + MEMORY, 70000, 200000 };
	static const size_t steps[] = { 1, 3, 1000, 4096, 65536 };

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
			size_t n = sizes[i], len, rest;
			char *raw = pattern(n), *wire = chunked(n, 777, &len);
			struct body b;

			announce_length(&b, &held, n);
			assert_int_equal(feed(&b, &held, raw, n, steps[k],
					     &rest),
			    BODY_DONE);
			assert_int_equal(b.place,
			    n > MEMORY ? BODY_FILE : BODY_MEMORY);
			expect_whole(&b, n, 1000);
			body_fini(&b);
			announce_chunked(&b, &held);
			assert_int_equal(feed(&b, &held, wire, len, steps[k],
					     &rest),
			    BODY_DONE);
			assert_int_equal(rest, 0);
			assert_int_equal(b.place,
			    n > MEMORY ? BODY_FILE : BODY_MEMORY);
			expect_whole(&b, n, 70000);
			body_fini(&b);
			free(raw);
			free(wire);
		}
}

static void
memory_holds_what_it_may_and_no_more(void **state)
{
	char *raw = pattern(MEMORY);
	struct body b;

	(void)state;
	for (size_t step = 1; step <= MEMORY; step = step * 3 + 1) {
		announce_length(&b, &held, MEMORY);
		assert_int_equal(feed(&b, &held, raw, MEMORY, step, NULL),
		    BODY_DONE);
		assert_int_equal(b.place, BODY_MEMORY);
		assert_true(b.cap <= MEMORY);
		body_fini(&b);
	}
	free(raw);
}

/* A limit that is no power of two: nothing is asked of the allocator twice. */
static void
a_length_that_is_known_is_allocated_once(void **state)
{
	struct body_limits l = held;
	char *raw = pattern(50000), *first;
	struct body b;

	(void)state;
	l.memory = 60000;
	announce_length(&b, &l, 50000);
	assert_int_equal(feed(&b, &l, raw, 3000, 3000, NULL), BODY_MORE);
	assert_int_equal(b.cap, 50000);
	first = b.mem;
	assert_int_equal(feed(&b, &l, raw + 3000, 47000, 5000, NULL),
	    BODY_DONE);
	assert_ptr_equal(b.mem, first);
	assert_int_equal(b.cap, 50000);
	body_fini(&b);
	free(raw);
}

static void
a_file_body_has_no_name_and_all_the_bytes(void **state)
{
	char *raw = pattern(100000), *back = malloc(100000);
	struct body b;

	(void)state;
	announce_length(&b, &held, 100000);
	assert_int_equal(feed(&b, &held, raw, 100000, 8000, NULL), BODY_DONE);
	assert_int_equal(b.place, BODY_FILE);
	assert_int_equal(pread(b.fd, back, 100000, 0), 100000);
	assert_memory_equal(back, raw, 100000);
	assert_int_equal(fcntl(b.fd, F_GETFD), FD_CLOEXEC);
	expect_whole(&b, 100000, 9999);
	body_fini(&b);
	assert_int_equal(b.fd, -1);
	free(raw);
	free(back);
}

static void
a_body_over_max_is_refused_as_soon_as_it_is_known(void **state)
{
	struct body_limits l = { .max = 10, .memory = MEMORY, .dir = "/tmp" };
	char *raw = pattern(20), *wire;
	size_t len, at = 0;
	struct body b;

	(void)state;
	announce_length(&b, &l, 10);
	assert_int_equal(feed(&b, &l, raw, 10, 3, NULL), BODY_DONE);
	body_fini(&b);
	announce_length(&b, &l, 11);
	assert_int_equal(feed(&b, &l, raw, 11, 11, NULL), BODY_TOO_BIG);
	assert_int_equal(b.error, PF_ETOOBIG);
	assert_int_equal(body_wants(&b, 100), 0);
	assert_int_equal(drain(&b, &at, 1), PF_ETOOBIG);
	body_fini(&b);
	wire = chunked(11, 4, &len);
	announce_chunked(&b, &l);
	assert_int_equal(feed(&b, &l, wire, len, 1, NULL), BODY_TOO_BIG);
	assert_int_equal(b.error, PF_ETOOBIG);
	body_fini(&b);
	free(wire);
	free(raw);
}

/* Else an error behind it hid it, or not, by how the bytes were split. */
static void
a_chunk_over_max_is_refused_before_a_byte_of_it(void **state)
{
	static const char *const wires[] = { "b\r\n", "b\r\nabcdefghijkXX",
		"4\r\nabcd\r\n7\r\n", "5;x\r\nabcde\r\n6\r\nabcdefXX" };
	struct body_limits l = { .max = 10, .memory = MEMORY, .dir = "/tmp" };
	struct body b;

	(void)state;
	for (size_t i = 0; i < sizeof wires / sizeof wires[0]; i++)
		for (size_t step = 1; step < 40; step += 19) {
			announce_chunked(&b, &l);
			assert_int_equal(feed(&b, &l, wires[i],
					     strlen(wires[i]), step, NULL),
			    BODY_TOO_BIG);
			assert_int_equal(b.error, PF_ETOOBIG);
			assert_in_range(b.received, 0, 5);
			body_fini(&b);
		}
}

static void
too_many_trailers_are_told_apart_from_malformed_ones(void **state)
{
	static const char many[] =
	    "1\r\na\r\n0\r\nA:\r\nB:\r\nC:\r\nD:\r\nE:\r\n"
	    "F:\r\nG:\r\nH:\r\nI:\r\n";
	char wire[400];
	struct body b;

	(void)state;
	announce_chunked(&b, &streamed);
	assert_int_equal(feed(&b, &streamed, many, sizeof many - 1, 1, NULL),
	    BODY_TRAILERS);
	assert_int_equal(b.error, PF_ETRAILERS);
	body_fini(&b);
	snprintf(wire, sizeof wire, "0\r\nA: %0300d\r\n", 0);
	announce_chunked(&b, &streamed);
	assert_int_equal(feed(&b, &streamed, wire, strlen(wire), 1, NULL),
	    BODY_TRAILERS);
	assert_int_equal(b.error, PF_ETRAILERS);
	body_fini(&b);
}

static void
a_malformed_chunk_is_refused(void **state)
{
	static const char *const bad[] = { "g\r\n", "5\nabcde", "5\r\nabcdeX",
		"-1\r\n", "\r\n", "5 \r\n", "0\r\nHost: a\r\n\r\n" };
	struct body b;
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		announce_chunked(&b, &held);
		assert_int_equal(feed(&b, &held, bad[i], strlen(bad[i]), 100,
				     NULL),
		    BODY_BAD);
		assert_int_equal(b.error, PF_EPROTO);
		assert_int_equal(drain(&b, &at, 1), PF_EPROTO);
		body_fini(&b);
	}
}

static void
a_directory_that_cannot_keep_it_is_a_failure_not_a_loss(void **state)
{
	struct body_limits l = { .max = 1 << 20,
		.memory = MEMORY,
		.dir = "/nonexistent/prefork" };
	char *raw = pattern(MEMORY + 1);
	struct body b;
	size_t at = MEMORY;

	(void)state;
	announce_length(&b, &l, MEMORY);
	assert_int_equal(feed(&b, &l, raw, MEMORY, 100, NULL), BODY_DONE);
	body_fini(&b);
	announce_length(&b, &l, MEMORY + 1);
	assert_int_equal(feed(&b, &l, raw, MEMORY + 1, 100, NULL), BODY_FAILED);
	assert_true(b.error < 0);
	assert_false(b.complete);
	body_consume(&b, b.used);
	assert_int_equal(drain(&b, &at, 1), b.error);
	body_fini(&b);
	free(raw);
}

/* The loop feeds what there is room for, the handler takes a little. */
static void
stream_through(size_t n, size_t take, size_t in_step)
{
	char *raw = pattern(n);
	size_t fed = 0, at = 0;
	enum body_result result = BODY_MORE;
	struct body b;
	pf_str s;

	announce_length(&b, &streamed, n);
	while (at < n) {
		size_t k = body_wants(&b, in_step);

		while (k > 0 && result == BODY_MORE) {
			char *copy = malloc(k);

			memcpy(copy, raw + fed, k);
			result = body_feed(&b, &streamed, copy, &k);
			free(copy);
			fed += k;
			k = body_wants(&b, in_step);
		}
		assert_true(result == BODY_DONE || b.starved);
		assert_int_equal(body_peek(&b, &s), PF_OK);
		k = s.n < take ? s.n : take;
		for (size_t i = 0; i < k; i++)
			assert_int_equal(s.p[i], byte_at(at + i));
		assert_int_equal(body_consume(&b, k), result == BODY_MORE);
		assert_false(b.starved);
		at += k;
	}
	assert_int_equal(result, BODY_DONE);
	assert_int_equal(body_peek(&b, &s), PF_EOF);
	body_fini(&b);
	free(raw);
}

static void
a_ring_goes_round_and_round(void **state)
{
	static const size_t takes[] = { 1, 7, 1000, 4095, 4096, 100000 };

	(void)state;
	for (size_t i = 0; i < sizeof takes / sizeof takes[0]; i++) {
		stream_through(30000, takes[i], 1000);
		stream_through(30000, takes[i], 65536);
		stream_through(30000, takes[i], MEMORY);
	}
}

static void
an_empty_ring_says_again_until_more_comes(void **state)
{
	struct body b;
	size_t at = 0;

	(void)state;
	announce_length(&b, &streamed, 5);
	assert_int_equal(drain(&b, &at, 1), PF_AGAIN);
	assert_int_equal(feed(&b, &streamed, "abc", 3, 3, NULL), BODY_MORE);
	assert_int_equal(drain(&b, &at, 1), PF_AGAIN);
	assert_int_equal(at, 3);
	assert_int_equal(feed(&b, &streamed, "de", 2, 2, NULL), BODY_DONE);
	assert_int_equal(drain(&b, &at, 1), PF_EOF);
	assert_int_equal(at, 5);
	body_fini(&b);
}

static void
what_came_before_an_error_can_be_read(void **state)
{
	static const char wire[] = "5\r\nabcde\r\nx";
	struct body b;
	size_t at = 0;

	(void)state;
	announce_chunked(&b, &streamed);
	assert_int_equal(feed(&b, &streamed, wire, 10, 10, NULL), BODY_MORE);
	assert_int_equal(feed(&b, &streamed, wire + 10, 1, 1, NULL), BODY_BAD);
	assert_int_equal(drain(&b, &at, 2), PF_EPROTO);
	assert_int_equal(at, 5);
	body_fini(&b);
}

static void
a_chunked_ring_in_single_bytes_is_the_same_ring(void **state)
{
	size_t len, at = 0;
	char *wire = chunked(MEMORY, 100, &len);
	struct body b;

	(void)state;
	for (size_t step = 1; step < 70000; step = step * 5 + 1) {
		announce_chunked(&b, &streamed);
		at = 0;
		for (size_t i = 0; i < len;) {
			size_t rest;

			feed(&b, &streamed, wire + i, len - i, step, &rest);
			i = len - rest;
			assert_in_range(drain(&b, &at, 333), PF_AGAIN, PF_EOF);
		}
		assert_int_equal(at, MEMORY);
		assert_true(b.complete);
		assert_int_equal(b.received, MEMORY);
		body_fini(&b);
	}
	free(wire);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_body_that_came_with_the_head_stays_where_it_is),
		cmocka_unit_test(no_body_is_complete_at_once),
		cmocka_unit_test(bytes_of_the_next_request_are_left_alone),
		cmocka_unit_test(the_same_bytes_come_out),
		cmocka_unit_test(memory_holds_what_it_may_and_no_more),
		cmocka_unit_test(a_length_that_is_known_is_allocated_once),
		cmocka_unit_test(a_file_body_has_no_name_and_all_the_bytes),
		cmocka_unit_test(
		    a_body_over_max_is_refused_as_soon_as_it_is_known),
		cmocka_unit_test(
		    a_chunk_over_max_is_refused_before_a_byte_of_it),
		cmocka_unit_test(
		    too_many_trailers_are_told_apart_from_malformed_ones),
		cmocka_unit_test(a_malformed_chunk_is_refused),
		cmocka_unit_test(
		    a_directory_that_cannot_keep_it_is_a_failure_not_a_loss),
		cmocka_unit_test(a_ring_goes_round_and_round),
		cmocka_unit_test(an_empty_ring_says_again_until_more_comes),
		cmocka_unit_test(what_came_before_an_error_can_be_read),
		cmocka_unit_test(
		    a_chunked_ring_in_single_bytes_is_the_same_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
