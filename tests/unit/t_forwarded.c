#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "conf/settings.h"
#include "conf/trust.h"
#include "worker/http/field.h"
#include "worker/http/forwarded.h"

#define FIELDS_MAX 100

static struct trust trust; /* 10.0.0.0/8, fd00::/8, 127.0.0.1 */

static const struct h1_limits limits = { .request_line = 1u << 20,
	.field = 1u << 20,
	.fields = FIELDS_MAX,
	.head = 1u << 20 };

/* A request with these field lines, parsed.  The caller frees it. */
struct asked {
	struct h1_head head;
	struct h1_field field[FIELDS_MAX];
	char *buf;
	size_t n;
};

static struct asked *
asked_of(const char *lines)
{
	struct asked *a = calloc(1, sizeof *a);

	assert_non_null(a);
	a->n = (size_t)asprintf(&a->buf, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n",
	    lines);
	h1_head_init(&a->head, &limits, a->field);
	assert_int_equal(h1_parse(&a->head, a->buf, a->n), H1_OK);
	return a;
}

static void
asked_free(struct asked *a)
{
	free(a->buf);
	free(a);
}

/* "ADDRESS PORT PROTO HOST", or why it is refused; - for what is not said. */
static const char *
said(const struct asked *a)
{
	static const char *const protos[] = { [FORWARDED_PROTO_NONE] = "-",
		[FORWARDED_PROTO_HTTP] = "http",
		[FORWARDED_PROTO_HTTPS] = "https" };
	static char text[1000];
	char addr[PEER_TEXT_MAX];
	struct forwarded f;
	enum h1_result r = forwarded_read(&a->head, a->buf, &trust, &f);

	if (r != H1_OK)
		return h1_result_text(r);
	peer_text(&f.client, addr);
	snprintf(text, sizeof text, "%s %u %s %.*s", addr[0] ? addr : "-",
	    peer_port(&f.client), protos[f.proto],
	    f.host.n > 0 ? (int)f.host.n : 1, f.host.n > 0 ? f.host.p : "-");
	return text;
}

struct expected {
	const char *lines, *said;
};

static void
check(const struct expected *at, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct asked *a = asked_of(at[i].lines);
		const char *got = said(a);

		if (strcmp(got, at[i].said) != 0)
			fail_msg("%s%s, not %s", at[i].lines, got, at[i].said);
		asked_free(a);
	}
}
#define CHECK(array) check(array, sizeof array / sizeof array[0])

#define XFF   "X-Forwarded-For: "
#define XFP   "X-Forwarded-Proto: "
#define XFH   "X-Forwarded-Host: "
#define FWD   "Forwarded: "
#define NL    "\r\n"
#define NO_IP "no address where a proxy names its client"
#define NO_FW "malformed forwarded field"
#define CLASH "forwarded and x-forwarded fields contradict each other"

static void
the_client_is_the_first_from_the_right_who_is_not_trusted(void **state)
{
	static const struct expected t[] = {
		{ "", "- 0 - -" },
		{ XFF "192.0.2.7" NL, "192.0.2.7 0 - -" },
		{ XFF "6.6.6.6, 192.0.2.7" NL, "192.0.2.7 0 - -" },
		{ XFF "6.6.6.6, 192.0.2.7, 10.1.2.3" NL, "192.0.2.7 0 - -" },
		{ XFF "6.6.6.6,192.0.2.7,10.1.2.3,fd00::1" NL,
		    "192.0.2.7 0 - -" },
		{ XFF "10.1.1.1, 10.2.2.2" NL, "10.1.1.1 0 - -" },
		/* several lines are one list */
		{ XFF "6.6.6.6" NL XFF "192.0.2.7" NL, "192.0.2.7 0 - -" },
		{ XFF "192.0.2.7" NL XFF "10.0.0.1" NL, "192.0.2.7 0 - -" },
		{ XFF NL XFF " , 192.0.2.7,, " NL XFF NL, "192.0.2.7 0 - -" },
		{ XFF NL, "- 0 - -" },
		/* what a client made up, left of itself, does not matter */
		{ XFF "garbage\", 192.0.2.7" NL, "192.0.2.7 0 - -" },
		{ FWD "for=192.0.2.7" NL, "192.0.2.7 0 - -" },
		{ FWD "for=6.6.6.6, for=192.0.2.7" NL, "192.0.2.7 0 - -" },
		{ FWD "for=6.6.6.6, for=192.0.2.7, for=10.0.0.1" NL,
		    "192.0.2.7 0 - -" },
		{ FWD "for=6.6.6.6" NL FWD "For=192.0.2.7" NL FWD
		      "FOR=10.0.0.1" NL,
		    "192.0.2.7 0 - -" },
		{ FWD "for=10.1.1.1, for=10.2.2.2" NL, "10.1.1.1 0 - -" },
		{ FWD "for=nonsense, for=192.0.2.7" NL, "192.0.2.7 0 - -" },
		{ FWD ",, for=192.0.2.7 ,," NL, "192.0.2.7 0 - -" },
	};

	(void)state;
	CHECK(t);
}

static void
an_address_may_have_brackets_and_a_port(void **state)
{
	static const struct expected t[] = {
		{ XFF "192.0.2.7:4711" NL, "192.0.2.7 4711 - -" },
		{ XFF "2001:db8::7" NL, "2001:db8::7 0 - -" },
		{ XFF "[2001:db8::7]" NL, "2001:db8::7 0 - -" },
		{ XFF "[2001:db8::7]:80" NL, "2001:db8::7 80 - -" },
		{ XFF "::ffff:192.0.2.7" NL, "192.0.2.7 0 - -" },
		{ XFF "192.0.2.7, ::ffff:10.0.0.1" NL, "192.0.2.7 0 - -" },
		{ FWD "for=\"192.0.2.7:4711\"" NL, "192.0.2.7 4711 - -" },
		{ FWD "for=\"[2001:db8::7]\"" NL, "2001:db8::7 0 - -" },
		{ FWD "for=\"[2001:db8::7]:80\"" NL, "2001:db8::7 80 - -" },
		{ FWD "for=\"[2001:db8::7]:_port\"" NL, "2001:db8::7 0 - -" },
	};

	(void)state;
	CHECK(t);
}

static void
what_is_no_address_is_refused_where_one_is_needed(void **state)
{
	static const struct expected t[] = {
		{ XFF "nobody" NL, NO_IP },
		{ XFF "nobody, 10.0.0.1" NL, NO_IP },
		{ XFF "1.2.3" NL, NO_IP },
		{ XFF "1.2.3.4.5" NL, NO_IP },
		{ XFF "01.2.3.4" NL, NO_IP },
		{ XFF "1.2.3.4:" NL, NO_IP },
		{ XFF "1.2.3.4:65536" NL, NO_IP },
		{ XFF "1.2.3.4:1:2" NL, NO_IP },
		{ XFF "1.2.3.4:-1" NL, NO_IP },
		{ XFF "1.2.3.4 5.6.7.8" NL, NO_IP },
		{ XFF "\"1.2.3.4\"" NL, NO_IP },
		{ XFF "fe80::1%eth0" NL, NO_IP },
		{ XFF "[fe80::1%25eth0]" NL, NO_IP },
		{ XFF "[::1" NL, NO_IP },
		{ XFF "::1]" NL, NO_IP },
		{ XFF "[1.2.3.4]" NL, NO_IP },
		{ XFF "[]" NL, NO_IP },
		{ XFF "[::1]x:1" NL, NO_IP },
		{ XFF ":80" NL, NO_IP },
		{ XFF "_" NL, NO_IP },
		{ FWD "for=\"\"" NL, NO_IP },
		{ FWD "for=nobody" NL, NO_IP },
		{ FWD "for=\"::1\"" NL, NO_IP },
		{ FWD "for=\"[fe80::1%eth0]\"" NL, NO_IP },
		{ FWD "for=nobody, for=10.0.0.1" NL, NO_IP },
	};

	(void)state;
	CHECK(t);
}

/* What counts is then the proxy that hides it, the last we know of. */
static void
a_trusted_proxy_may_hide_its_client(void **state)
{
	static const struct expected t[] = {
		{ XFF "unknown" NL, "- 0 - -" },
		{ XFF "1.2.3.4, Unknown, 10.0.0.2" NL, "10.0.0.2 0 - -" },
		{ XFF "_gazonk" NL, "- 0 - -" },
		{ FWD "for=unknown" NL, "- 0 - -" },
		{ FWD "for=_SEVKISEK-.1" NL, "- 0 - -" },
		{ FWD "for=\"_a:_b\"" NL, "- 0 - -" },
		{ FWD "for=1.2.3.4, for=unknown, for=10.0.0.2, for=10.0.0.1" NL,
		    "10.0.0.2 0 - -" },
		{ FWD "proto=https, for=10.0.0.2" NL, "10.0.0.2 0 https -" },
		{ FWD "proto=https" NL, "- 0 https -" },
	};

	(void)state;
	CHECK(t);
}

static void
scheme_and_host_are_those_the_client_asked_for(void **state)
{
	static const struct expected t[] = {
		{ XFP "https" NL XFH "shop.example" NL,
		    "- 0 https shop.example" },
		{ XFP "HTTP" NL XFH "[::1]:8000" NL, "- 0 http [::1]:8000" },
		{ XFP "wss" NL, "- 0 https -" },
		{ XFP "ws" NL, "- 0 http -" },
		{ XFP NL XFH NL, "- 0 - -" },
		/* what the client itself put there is left of it */
		{ XFP "https, http" NL, "- 0 http -" },
		{ XFF "6.6.6.6, 192.0.2.7" NL XFP "https, http" NL,
		    "192.0.2.7 0 http -" },
		/* two proxies that add, then two that replace */
		{ XFF "192.0.2.7, 10.0.0.2" NL XFP "https, http" NL XFH
		      "out, in" NL,
		    "192.0.2.7 0 https out" },
		{ XFF "192.0.2.7, 10.0.0.2" NL XFP "https" NL XFH "out" NL,
		    "192.0.2.7 0 https out" },
		{ FWD "for=192.0.2.7;proto=https;host=shop.example" NL,
		    "192.0.2.7 0 https shop.example" },
		{ FWD "for=192.0.2.7 ; proto=https ; host=\"a:80\" ;;" NL,
		    "192.0.2.7 0 https a:80" },
		{ FWD "host=evil, for=192.0.2.7;proto=http" NL,
		    "192.0.2.7 0 http -" },
		{ FWD "for=192.0.2.7;proto=https, for=10.0.0.1;proto=http" NL,
		    "192.0.2.7 0 https -" },
		{ FWD "for=192.0.2.7, for=10.0.0.1;proto=https;host=x" NL,
		    "192.0.2.7 0 https x" },
		{ FWD "for=192.0.2.7;by=\"a,\\\"b;\";secret=\"\";x=y" NL,
		    "192.0.2.7 0 - -" },
		{ XFP "ftp" NL, "a proxy names a scheme that is none" },
		{ XFP "https http" NL, "a proxy names a scheme that is none" },
		{ XFH "a b" NL, "a proxy names a host that is none" },
		{ XFH "a/b" NL, "a proxy names a host that is none" },
		{ XFH "user@a" NL, "a proxy names a host that is none" },
		{ FWD "proto=ftp" NL, "a proxy names a scheme that is none" },
		{ FWD "host=\"a b\"" NL, "a proxy names a host that is none" },
	};

	(void)state;
	CHECK(t);
}

/* RFC 9110 5.6.4: what has needless backslashes is what has none. */
static void
a_quoted_pair_is_the_byte_behind_the_backslash(void **state)
{
	static const struct expected t[] = {
		{ FWD "for=\"1.2.3.\\4\"" NL, "1.2.3.4 0 - -" },
		{ FWD "for=\"\\[2001:db8:\\:7\\]\\:\\4\\7\"" NL,
		    "2001:db8::7 47 - -" },
		{ FWD "for=\"1\\92.0.2.7\", for=\"10.0.\\0.1\"" NL,
		    "192.0.2.7 0 - -" },
		{ FWD "for=\"un\\known\"" NL, "- 0 - -" },
		{ FWD "for=\"\\_\\gazonk\"" NL, "- 0 - -" },
		{ FWD "proto=\"htt\\ps\"" NL, "- 0 https -" },
		{ FWD "host=\"exa\\mple.com\"" NL, "- 0 - example.com" },
		{ FWD "host=\"\\a\\:\\8\\0\"" NL, "- 0 - a:80" },
		{ XFH "a" NL XFP "http" NL FWD
		      "host=\"\\A\";proto=\"h\\ttp\"" NL,
		    "- 0 http A" },
		{ XFH "b" NL FWD "host=\"\\a\"" NL, CLASH },
		{ XFF "1.2.3.4" NL FWD "for=\"\\1.2.3.4\"" NL,
		    "1.2.3.4 0 - -" },
		{ FWD "by=\"\\\"\\\\\";host=\"\\a\"" NL, "- 0 - a" },
		/* a backslash behind a backslash is one */
		{ FWD "for=\"1.2.3.\\\\4\"" NL, NO_IP },
		{ FWD "proto=\"\\\\http\"" NL,
		    "a proxy names a scheme that is none" },
		{ FWD "host=\"a\\\\b\"" NL,
		    "a proxy names a host that is none" },
		{ FWD "host=\"a\\\"\"" NL,
		    "a proxy names a host that is none" },
		/* and nobody's outside of quotes */
		{ FWD "host=\\a" NL, NO_FW },
		{ XFH "\\a" NL, "a proxy names a host that is none" },
		{ XFF "1.2.3.\\4" NL, NO_IP },
	};

	(void)state;
	CHECK(t);
}

/* Without one a host is as long as its line. */
static void
a_host_with_quoted_pairs_is_as_long_as_a_name_may_be(void **state)
{
	char lines[1000], host[FORWARDED_QUOTED_MAX + 2];

	(void)state;
	for (int over = 0; over < 2; over++)
		for (int pairs = 0; pairs < 2; pairs++) {
			bool good = !over || !pairs;
			struct asked *a;
			char want[1000];

			memset(host, 'a', sizeof host);
			host[FORWARDED_QUOTED_MAX + over] = '\0';
			snprintf(lines, sizeof lines, FWD "host=\"%s%s\"" NL,
			    pairs ? "\\" : "", host);
			snprintf(want, sizeof want, "- 0 - %s", host);
			a = asked_of(lines);
			assert_string_equal(said(a),
			    good ? want : "a proxy names a host that is none");
			asked_free(a);
		}
}

static void
a_malformed_field_is_refused(void **state)
{
	static const struct expected t[] = {
		{ FWD "for" NL, NO_FW },
		{ FWD "for=" NL, NO_FW },
		{ FWD "for =1.2.3.4" NL, NO_FW },
		{ FWD "for= 1.2.3.4" NL, NO_FW },
		{ FWD "=1.2.3.4" NL, NO_FW },
		{ FWD "1.2.3.4" NL, NO_FW },
		{ FWD "for=1.2.3.4 proto=http" NL, NO_FW },
		{ FWD "for=1.2.3.4:80" NL, NO_FW },
		{ FWD "for=[::1]" NL, NO_FW },
		{ FWD "for=\"1.2.3.4" NL, NO_FW },
		{ FWD "for=\"1.2.3.4\\" NL, NO_FW },
		{ FWD "for=\"1.2.3.4\"x" NL, NO_FW },
		{ FWD "for=1.2.3.4;for=1.2.3.4" NL, NO_FW },
		{ FWD "proto=http;PROTO=http" NL, NO_FW },
		{ FWD "host=a;host=a" NL, NO_FW },
		/* quotes that a client opens do not swallow what follows */
		{ FWD "for=\"6.6.6.6, for=192.0.2.7" NL, NO_FW },
		{ FWD "for=\"6.6.6.6" NL FWD "for=192.0.2.7;x=\"" NL, NO_FW },
	};

	(void)state;
	CHECK(t);
}

/* One of the two was made up by a client and passed on. */
static void
forwarded_and_x_forwarded_must_agree(void **state)
{
	static const struct expected t[] = {
		{ XFF "192.0.2.7" NL FWD "for=192.0.2.7" NL,
		    "192.0.2.7 0 - -" },
		{ XFF "192.0.2.7:99" NL FWD "for=\"192.0.2.7:1\"" NL,
		    "192.0.2.7 99 - -" },
		{ XFF "192.0.2.7" NL FWD "proto=https" NL,
		    "192.0.2.7 0 https -" },
		{ XFP "https" NL FWD "for=192.0.2.7;proto=https;host=A" NL XFH
		      "a" NL,
		    "192.0.2.7 0 https A" },
		{ XFF "192.0.2.7" NL FWD "for=6.6.6.6" NL, CLASH },
		{ XFF "192.0.2.7" NL FWD "for=unknown" NL, CLASH },
		{ XFF "unknown" NL FWD "for=6.6.6.6" NL, CLASH },
		{ XFF "192.0.2.7" NL FWD "for=\"[::1]\"" NL, CLASH },
		{ XFP "http" NL FWD "proto=https" NL, CLASH },
		{ XFH "a" NL FWD "host=b" NL, CLASH },
	};

	(void)state;
	CHECK(t);
}

static void
a_chain_has_64_members_at_most(void **state)
{
	char lines[4000];

	(void)state;
	for (int kind = 0; kind < 2; kind++)
		for (int n = 64; n <= 65; n++) {
			char *at = lines;
			struct asked *a;

			at += sprintf(at, kind ? XFF : FWD);
			for (int i = 0; i < n; i++)
				at += sprintf(at, "%s%s10.0.0.%d",
				    i ? ", " : "", kind ? "" : "for=", i);
			sprintf(at, NL);
			a = asked_of(lines);
			assert_string_equal(said(a),
			    n == 64 ? "10.0.0.0 0 - -" :
				      "too many proxies in forwarded fields");
			asked_free(a);
		}
}

/* Their number among the fields does not matter, nor how the bytes came. */
static void
the_result_does_not_depend_on_how_the_head_was_split(void **state)
{
	static const char lines[] =
	    XFF "6.6.6.6" NL "X-Other: a" NL XFP "http" NL FWD
		"for=6.6.6.6, for=\"192.0.2.7\";proto=https" NL XFF
		"192.0.2.7,10.0.0.1" NL FWD "for=10.0.0.1" NL XFP "https" NL XFP
		"http" NL XFH "out, in" NL;
	struct asked *a = asked_of(lines);
	char whole[1000];

	(void)state;
	snprintf(whole, sizeof whole, "%s", said(a));
	assert_string_equal(whole, "192.0.2.7 0 https out");
	for (size_t at = 0; at <= a->n; at++) {
		h1_head_init(&a->head, &limits, a->field);
		if (h1_parse(&a->head, a->buf, at) == H1_MORE)
			assert_int_equal(h1_parse(&a->head, a->buf, a->n),
			    H1_OK);
		assert_string_equal(said(a), whole);
	}
	asked_free(a);
}

/* ---- time ---------------------------------------------------------------- */

static double
cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The best of some runs over a field whose value is `unit` until it has n
 * bytes. */
static double
time_of(const char *name, const char *unit, size_t n)
{
	char *lines = malloc(n + 200);
	size_t at = (size_t)sprintf(lines, "%s: ", name);
	double best = 1e9;
	struct asked *a;
	struct forwarded f;

	while (at < n)
		at += (size_t)sprintf(lines + at, "%s", unit);
	sprintf(lines + at, NL);
	a = asked_of(lines);
	for (int i = 0; i < 15; i++) {
		double begin = cpu_s(), took;

		for (int k = 0; k < 8; k++)
			(void)forwarded_read(&a->head, a->buf, &trust, &f);
		took = cpu_s() - begin;
		best = took < best ? took : best;
	}
	asked_free(a);
	free(lines);
	return best;
}

/* Sixteen times the bytes take at most sixteen times as long, and something for
 * caches and noise; with quadratic time it would be 256. */
static void
time_grows_with_the_bytes_and_not_with_their_square(void **state)
{
	static const char *const units[] = { ",", " , ", "x", ":", "[", "]",
		"10.0.0.1,", "for=", "for=10.0.0.1,", "for=\"\\\\", "a=b;",
		"a=\"\";", ";", "\"", "\\\"", "_:", "unknown:", "a=\"]:[\",",
		"\t" };
	static const char *const names[] = { "X-Forwarded-For", "Forwarded",
		"X-Forwarded-Proto", "X-Forwarded-Host" };

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		for (size_t k = 0; k < sizeof units / sizeof units[0]; k++) {
			double few = time_of(names[i], units[k], 4096);
			double many = time_of(names[i], units[k], 65536);

			if (many > 80 * few + 1e-4)
				fail_msg("%s: %s...: %g s, then %g s", names[i],
				    units[k], few, many);
		}
}

static int
setup(void **state)
{
	(void)state;
	return trust_parse(&trust, "10.0.0.0/8, fd00::/8, 127.0.0.1") != NULL;
}

static int
teardown(void **state)
{
	(void)state;
	trust_fini(&trust);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    the_client_is_the_first_from_the_right_who_is_not_trusted),
		cmocka_unit_test(an_address_may_have_brackets_and_a_port),
		cmocka_unit_test(
		    what_is_no_address_is_refused_where_one_is_needed),
		cmocka_unit_test(a_trusted_proxy_may_hide_its_client),
		cmocka_unit_test(
		    scheme_and_host_are_those_the_client_asked_for),
		cmocka_unit_test(
		    a_quoted_pair_is_the_byte_behind_the_backslash),
		cmocka_unit_test(
		    a_host_with_quoted_pairs_is_as_long_as_a_name_may_be),
		cmocka_unit_test(a_malformed_field_is_refused),
		cmocka_unit_test(forwarded_and_x_forwarded_must_agree),
		cmocka_unit_test(a_chain_has_64_members_at_most),
		cmocka_unit_test(
		    the_result_does_not_depend_on_how_the_head_was_split),
		cmocka_unit_test(
		    time_grows_with_the_bytes_and_not_with_their_square),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
