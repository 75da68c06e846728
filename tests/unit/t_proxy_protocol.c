#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/net/proxy_protocol.h"

#define SIGNATURE  "\r\n\r\n\0\r\nQUIT\n"
#define V4         "\x21\x11\x00\x0c"
#define ADDRESSES4 "\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x34\x01\xbb"

/* The parser sees a copy that ends where it is told the bytes end. */
static enum proxy_result
read_copy(const char *p, size_t n, struct proxy_header *h)
{
	char *copy = malloc(n > 0 ? n : 1);
	enum proxy_result r;

	assert_non_null(copy);
	memcpy(copy, p, n);
	r = proxy_protocol_read(copy, n, h);
	free(copy);
	return r;
}

/* The result of the whole, having seen that every beginning of it has the same
 * or wants more. */
static enum proxy_result
read_split(const char *p, size_t n, struct proxy_header *h)
{
	enum proxy_result whole = read_copy(p, n, h);
	bool decided = false;

	for (size_t i = 0; i <= n; i++) {
		struct proxy_header part;
		enum proxy_result r = read_copy(p, i, &part);

		if (r == PROXY_MORE && !decided)
			continue;
		decided = true;
		assert_int_equal(r, whole);
		if (r == PROXY_OK) {
			assert_int_equal(part.length, h->length);
			assert_true(i >= part.length);
			assert_true(
			    peer_same_address(&part.client, &h->client));
			assert_int_equal(peer_port(&part.client),
			    peer_port(&h->client));
		}
	}
	assert_true(decided || whole == PROXY_MORE);
	return whole;
}

static void
expect_client(const char *p, size_t n, size_t length, const char *addr,
    uint16_t port)
{
	struct proxy_header h;
	char text[PEER_TEXT_MAX];

	assert_int_equal(read_split(p, n, &h), PROXY_OK);
	assert_int_equal(h.kind, PROXY_CLIENT);
	assert_int_equal(h.length, length);
	peer_text(&h.client, text);
	assert_string_equal(text, addr);
	assert_int_equal(peer_port(&h.client), port);
}

static void
expect_kind(const char *p, size_t n, size_t length, enum proxy_kind kind)
{
	struct proxy_header h;

	assert_int_equal(read_split(p, n, &h), PROXY_OK);
	assert_int_equal(h.kind, kind);
	assert_int_equal(h.length, length);
	assert_int_equal(h.client.family, 0);
}

static void
expect_refused(const char *p, size_t n, enum proxy_result want)
{
	struct proxy_header h;

	if (read_split(p, n, &h) != want)
		fail_msg("%.*s: not: %s", (int)n, p, proxy_result_text(want));
}
#define BYTES(literal) literal, sizeof(literal) - 1

static void
version_1_names_the_client(void **state)
{
	static const char longest[] =
	    "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";

	(void)state;
	expect_client(BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 56324 "
			    "443\r\nGET /"),
	    45, "192.0.2.7", 56324);
	expect_client(BYTES("PROXY TCP6 2001:DB8::7 ::1 0 65535\r\n"), 36,
	    "2001:db8::7", 0);
	expect_client(BYTES(longest), sizeof longest - 1,
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535);
	/* a listener of both families has clients like this one */
	expect_client(BYTES("PROXY TCP6 ::ffff:192.0.2.7 ::1 9 80\r\n"), 38,
	    "192.0.2.7", 9);
}

static void
version_1_may_not_know_the_client(void **state)
{
	(void)state;
	expect_kind(BYTES("PROXY UNKNOWN\r\nGET"), 15, PROXY_HIDDEN);
	expect_kind(BYTES("PROXY UNKNOWN what ever 1\r\n"), 27, PROXY_HIDDEN);
}

static void
a_line_that_is_not_as_it_should_be_is_refused(void **state)
{
	static const char *const lines[] = {
		"PROXY \r\n",
		"PROXY UNKNOWNS\r\n",
		"PROXY unknown\r\n",
		"PROXY TCP4\r\n",
		"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
		"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4\t1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.256 1 2\r\n",
		"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 ::1 ::1 1 2\r\n",
		"PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
		"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
		"PROXY TCP6 [::1] ::1 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 000001 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n",
		"PROXY UNKNOWN \r \r\n",
		"PROXY \n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		expect_refused(lines[i], strlen(lines[i]), PROXY_BAD_LINE);
	expect_refused(BYTES("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"),
	    PROXY_BAD_LINE);
}

static void
a_line_has_107_bytes_at_most(void **state)
{
	char line[200] = "PROXY UNKNOWN ";

	(void)state;
	memset(line + 14, 'x', sizeof line - 14);
	line[105] = '\r';
	line[106] = '\n';
	expect_kind(line, sizeof line, 107, PROXY_HIDDEN);
	line[105] = 'x';
	line[106] = '\r';
	line[107] = '\n';
	expect_refused(line, sizeof line, PROXY_TOO_LONG);
}

static void
without_a_header_the_first_bytes_tell(void **state)
{
	static const char *const begins[] = { "G", "GET / HTTP/1.1\r\n",
		"PROXX", "proxy ", "PROXY\t", "\n", "\r\n\r\nx",
		"\r\n\r\nGET / HTTP/1.1\r\n", "\x16\x03\x01" };

	(void)state;
	for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
		expect_refused(begins[i], strlen(begins[i]), PROXY_ABSENT);
	expect_refused(BYTES("\0"), PROXY_ABSENT);
	expect_refused(BYTES(""), PROXY_MORE);
	expect_refused(BYTES("PRO"), PROXY_MORE);
	expect_refused(BYTES(SIGNATURE), PROXY_MORE);
}

static void
version_2_names_the_client(void **state)
{
	static const char v6[] =
	    SIGNATURE "\x21\x21\x00\x24"
		      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
		      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
		      "\xff\xff\x00\x50"
		      "GET";

	(void)state;
	expect_client(BYTES(SIGNATURE V4 ADDRESSES4 "GET"), 28, "192.0.2.7",
	    0x1234);
	expect_client(BYTES(v6), sizeof v6 - 1 - 3, "2001:db8::7", 65535);
}

static void
tlvs_are_skipped(void **state)
{
	static const char with[] =
	    SIGNATURE "\x21\x11\x00\x17" ADDRESSES4 "\x02\x00\x08whatever"
		      "PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n";

	(void)state;
	expect_client(BYTES(with), 16 + 0x17, "192.0.2.7", 0x1234);
}

static void
version_2_may_speak_for_the_proxy_or_hide_the_client(void **state)
{
	char unix_client[16 + 216] = SIGNATURE "\x21\x31\x00\xd8/run/x";

	(void)state;
	expect_kind(BYTES(SIGNATURE "\x20\x00\x00\x00GET"), 16, PROXY_OWN);
	/* the rest does not matter then */
	expect_kind(BYTES(SIGNATURE "\x20\xff\x00\x03xyz"), 19, PROXY_OWN);
	expect_kind(BYTES(SIGNATURE "\x21\x00\x00\x02xy"), 18, PROXY_HIDDEN);
	expect_kind(unix_client, sizeof unix_client, sizeof unix_client,
	    PROXY_HIDDEN);
}

static void
version_2_is_refused_at_the_first_wrong_byte(void **state)
{
	(void)state;
	expect_refused(BYTES(SIGNATURE "\x11\x11\x00\x0c" ADDRESSES4),
	    PROXY_BAD_VERSION);
	expect_refused(BYTES(SIGNATURE "\x22\x11\x00\x0c" ADDRESSES4),
	    PROXY_BAD_VERSION);
	expect_refused(BYTES(SIGNATURE "\x21\x12\x00\x0c" ADDRESSES4),
	    PROXY_BAD_FAMILY); /* UDP */
	expect_refused(BYTES(SIGNATURE "\x21\x10\x00\x0c" ADDRESSES4),
	    PROXY_BAD_FAMILY);
	expect_refused(BYTES(SIGNATURE "\x21\x41\x00\x0c" ADDRESSES4),
	    PROXY_BAD_FAMILY);
	expect_refused(BYTES(SIGNATURE "\x21\x11\x00\x0b" ADDRESSES4),
	    PROXY_BAD_LENGTH);
	expect_refused(BYTES(SIGNATURE "\x21\x21\x00\x0c" ADDRESSES4),
	    PROXY_BAD_LENGTH);
	expect_refused(BYTES(SIGNATURE "\x21\x31\x00\xd7"), PROXY_BAD_LENGTH);
}

static void
a_header_is_no_longer_than_4096_bytes(void **state)
{
	static char most[5000] = SIGNATURE "\x21\x11\x0f\xf0" ADDRESSES4;

	(void)state;
	expect_client(most, sizeof most, PROXY_HEADER_MAX, "192.0.2.7", 0x1234);
	most[15] = '\xf1';
	expect_refused(most, sizeof most, PROXY_TOO_LONG);
	expect_refused(BYTES(SIGNATURE "\x20\x00\xff\xff"), PROXY_TOO_LONG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1_names_the_client),
		cmocka_unit_test(version_1_may_not_know_the_client),
		cmocka_unit_test(a_line_that_is_not_as_it_should_be_is_refused),
		cmocka_unit_test(a_line_has_107_bytes_at_most),
		cmocka_unit_test(without_a_header_the_first_bytes_tell),
		cmocka_unit_test(version_2_names_the_client),
		cmocka_unit_test(tlvs_are_skipped),
		cmocka_unit_test(
		    version_2_may_speak_for_the_proxy_or_hide_the_client),
		cmocka_unit_test(version_2_is_refused_at_the_first_wrong_byte),
		cmocka_unit_test(a_header_is_no_longer_than_4096_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
