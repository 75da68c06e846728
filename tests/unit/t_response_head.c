#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/http/response_head.h"

#define HEADERS_MAX 8

static pf_str
text(const char *s)
{
	return (pf_str){ s, strlen(s) };
}

/* A head of these fields, given as name, value, ... NULL. */
struct asked {
	struct response_head head;
	pf_header header[HEADERS_MAX];
};

static struct response_head *
ask(struct asked *a, unsigned status, ...)
{
	va_list ap;
	const char *name;
	size_t n = 0;

	va_start(ap, status);
	while ((name = va_arg(ap, const char *)) != NULL) {
		a->header[n].name = text(name);
		a->header[n++].value = text(va_arg(ap, const char *));
	}
	va_end(ap);
	a->head = (struct response_head){ .status = status,
		.headers = a->header,
		.n_headers = n,
		.server_header = true };
	return &a->head;
}

/* The bytes of a head that is fine, in memory of exactly the room it asked
 * for: a byte too many is the sanitizer's. */
static char *
written(const struct response_head *h)
{
	char *out = malloc(h->room + 1), *copy;
	size_t n;

	assert_non_null(out);
	n = response_head_write(h, out);
	assert_true(n + RESPONSE_FRAMING_MAX <= h->room);
	out[n] = '\0';
	assert_int_equal(strlen(out), n);
	copy = strdup(out);
	free(out);
	return copy;
}

static void
expect_refused(struct response_head *h)
{
	assert_int_equal(response_head_check(h), PF_EINVAL);
}

static void
a_plain_head_has_status_server_and_date(void **state)
{
	struct asked a = { 0 };
	char *s;
	int n = 0;

	(void)state;
	assert_int_equal(response_head_check(ask(&a, 200, "Content-Type",
			     "text/plain", "X-Empty", "", NULL)),
	    PF_OK);
	assert_int_equal(a.head.length, -1);
	s = written(&a.head);
	assert_int_equal(sscanf(s,
			     "HTTP/1.1 200 OK\r\nServer: prefork\r\nDate: "
			     "%*3s, %*2d %*3s %*4d %*2d:%*2d:%*2d GMT\r\n"
			     "Content-Type: text/plain\r\nX-Empty:%n",
			     &n),
	    0);
	assert_string_equal(s + n, " \r\n");
	free(s);
}

static void
a_module_may_say_server_and_date_itself(void **state)
{
	struct asked a = { 0 };
	char *s;

	(void)state;
	assert_int_equal(response_head_check(ask(&a, 404, "SERVER", "mine",
			     "date", "Sun, 06 Nov 1994 08:49:37 GMT", NULL)),
	    PF_OK);
	s = written(&a.head);
	assert_string_equal(s,
	    "HTTP/1.1 404 Not Found\r\nSERVER: mine\r\n"
	    "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
	free(s);
	ask(&a, 204, NULL)->server_header = false;
	assert_int_equal(response_head_check(&a.head), PF_OK);
	s = written(&a.head);
	assert_null(strstr(s, "Server"));
	assert_non_null(strstr(s, "Date: "));
	free(s);
}

static void
framing_and_hop_by_hop_fields_are_refused(void **state)
{
	static const char *const names[] = { "Connection", "Keep-Alive",
		"Proxy-Connection", "TE", "Trailer", "Transfer-Encoding",
		"Upgrade", "connection", "TRANSFER-ENCODING" };
	struct asked a = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		expect_refused(ask(&a, 200, "A", "b", names[i], "x", NULL));
}

static void
nothing_can_be_injected(void **state)
{
	static const char *const values[] = { "a\r\nSet-Cookie: b", "a\nb",
		"a\rb", "a\r", "a\n", "\x01", "\x7f", "a\r\n b" };
	static const char *const names[] = { "", "A B", "A:", "A\r\nB", "A\n",
		"\"A\"", "A\x80" };
	struct asked a = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		expect_refused(ask(&a, 200, "A", values[i], NULL));
		ask(&a, 200, NULL)->reason = text(values[i]);
		expect_refused(&a.head);
	}
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		expect_refused(ask(&a, 200, names[i], "a", NULL));
	ask(&a, 200, "A", "b", NULL);
	a.header[0].value = (pf_str){ "a\0b", 3 };
	expect_refused(&a.head);
	a.header[0].value = text("a\tb \xc3\xa4");
	assert_int_equal(response_head_check(&a.head), PF_OK);
}

static void
a_content_length_is_taken_out_and_checked(void **state)
{
	static const char *const bad[] = { "", "-1", "+1", "1 ", " 1", "0x10",
		"1,1", "99999999999999999999", "9223372036854775808" };
	struct asked a = { 0 };
	char *s;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		expect_refused(ask(&a, 200, "Content-Length", bad[i], NULL));
	expect_refused(
	    ask(&a, 200, "Content-Length", "5", "content-length", "5", NULL));
	assert_int_equal(response_head_check(ask(&a, 200, "content-length",
			     "9223372036854775807", "B", "c", NULL)),
	    PF_OK);
	assert_true(a.head.length == INT64_MAX);
	s = written(&a.head);
	assert_null(strstr(s, "ength"));
	assert_non_null(strstr(s, "\r\nB: c\r\n"));
	free(s);
}

static void
a_head_can_be_checked_twice(void **state)
{
	struct asked a = { 0 };
	size_t room;

	(void)state;
	ask(&a, 200, "Content-Length", "5", NULL);
	assert_int_equal(response_head_check(&a.head), PF_OK);
	room = a.head.room;
	assert_int_equal(response_head_check(&a.head), PF_OK);
	assert_int_equal(a.head.room, room);
	assert_int_equal(a.head.length, 5);
}

static void
only_final_statuses_are_taken(void **state)
{
	struct asked a = { 0 };
	char *s, line[32];

	(void)state;
	for (unsigned status = 0; status < 1100; status++) {
		ask(&a, status, NULL);
		if (status < 200 || status > 599) {
			expect_refused(&a.head);
			continue;
		}
		assert_int_equal(response_head_check(&a.head), PF_OK);
		s = written(&a.head);
		snprintf(line, sizeof line, "HTTP/1.1 %u ", status);
		assert_memory_equal(s, line, strlen(line));
		free(s);
	}
}

static void
a_reason_of_its_own_replaces_the_phrase(void **state)
{
	struct asked a = { 0 };
	char *s, long_reason[2000];

	(void)state;
	ask(&a, 299, NULL)->reason = text("Well Done");
	assert_int_equal(response_head_check(&a.head), PF_OK);
	s = written(&a.head);
	assert_memory_equal(s, "HTTP/1.1 299 Well Done\r\n", 24);
	free(s);
	memset(long_reason, 'x', sizeof long_reason);
	a.head.reason = (pf_str){ long_reason, sizeof long_reason };
	assert_int_equal(response_head_check(&a.head), PF_OK);
	free(written(&a.head));
}

static void
expect_framing(struct response_framing f, const char *want)
{
	char out[RESPONSE_FRAMING_MAX];
	size_t n = response_framing_write(&f, out);

	assert_int_equal(n, strlen(want));
	assert_memory_equal(out, want, n);
}

#define FRAMING(want, ...)                                                     \
	expect_framing((struct response_framing){ __VA_ARGS__ }, want)

static void
every_way_to_frame_ends_the_head(void **state)
{
	(void)state;
	FRAMING("\r\n", .length = -1);
	FRAMING("Content-Length: 0\r\n\r\n", .length = 0);
	FRAMING("Content-Length: 10\r\n\r\n", .length = 10);
	FRAMING("Transfer-Encoding: chunked\r\n\r\n", .length = -1,
	    .chunked = true);
	FRAMING("Transfer-Encoding: chunked\r\n\r\n", .length = 7,
	    .chunked = true);
	FRAMING("Connection: close\r\n\r\n", .length = -1, .close = true);
	FRAMING("Content-Length: 3\r\nConnection: keep-alive\r\n\r\n",
	    .length = 3, .say_keepalive = true);
	FRAMING("Connection: close\r\n\r\n", .length = -1, .close = true,
	    .say_keepalive = true);
	FRAMING("Content-Length: 9223372036854775807\r\n"
		"Connection: keep-alive\r\n\r\n",
	    .length = INT64_MAX, .say_keepalive = true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_head_has_status_server_and_date),
		cmocka_unit_test(a_module_may_say_server_and_date_itself),
		cmocka_unit_test(framing_and_hop_by_hop_fields_are_refused),
		cmocka_unit_test(nothing_can_be_injected),
		cmocka_unit_test(a_content_length_is_taken_out_and_checked),
		cmocka_unit_test(a_head_can_be_checked_twice),
		cmocka_unit_test(only_final_statuses_are_taken),
		cmocka_unit_test(a_reason_of_its_own_replaces_the_phrase),
		cmocka_unit_test(every_way_to_frame_ends_the_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
