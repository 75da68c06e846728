#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "worker/http/uri.h"

static void
expect(struct str raw, struct str want)
{
	char out[64];
	size_t n = 99;

	assert_true(uri_decode(raw, out, &n));
	assert_int_equal(n, want.n);
	assert_memory_equal(out, want.p, want.n);
	/* and in its own place */
	memcpy(out, raw.p, raw.n);
	assert_true(uri_decode((struct str){ out, raw.n }, out, &n));
	assert_int_equal(n, want.n);
	assert_memory_equal(out, want.p, want.n);
}

static void
escapes_are_decoded_once(void **state)
{
	(void)state;
	expect(STR(""), STR(""));
	expect(STR("/plain"), STR("/plain"));
	expect(STR("/a%20b"), STR("/a b"));
	expect(STR("%41%42"), STR("AB"));
	expect(STR("/%2e%2E/%2f"), STR("/..//"));
	expect(STR("/%c3%A9%ff%01"), STR("/\xc3\xa9\xff\x01"));
	expect(STR("/%2541"), STR("/%41"));
	expect(STR("/a+b"), STR("/a+b"));
	expect(STR("/%25"), STR("/%"));
}

static void
an_escape_is_two_hex_digits_and_not_nul(void **state)
{
	static const struct str t[] = { STR("%"), STR("/%"), STR("/%4"),
		STR("/%4g"), STR("/%g4"), STR("/%%41"), STR("/% 4"),
		STR("/%+4"), STR("/%0x"), STR("/%00"), STR("/a%00b"),
		STR("/%u0041"), STR("/%:0"), STR("/%@0"), STR("/%`0") };
	char out[64];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
		if (uri_decode(t[i], out, &n))
			fail_msg("%s is accepted", t[i].p);
}

static void
an_escape_does_not_read_past_the_end(void **state)
{
	char out[8];
	size_t n;

	(void)state;
	assert_false(uri_decode((struct str){ "/%41", 3 }, out, &n));
	assert_false(uri_decode((struct str){ "/%41", 2 }, out, &n));
}

static const struct {
	struct str s;
	bool ok, port;
} authorities[] = {
	{ STR("a"), true, false },
	{ STR("a:"), true, false },
	{ STR("a:0"), true, true },
	{ STR("a:65535"), true, true },
	{ STR("a:65536"), false, false },
	{ STR("a:4294967376"), false, false },
	{ STR("a:8 "), false, false },
	{ STR(""), false, false },
	{ STR(":"), false, false },
	{ STR("a%20b"), true, false },
	{ STR("a%2"), false, false },
	{ STR("a!$&'()*+,;=-._~9Z"), true, false },
	{ STR("a@b"), false, false },
	{ STR("[::]"), true, false },
	{ STR("[::]:1"), true, true },
	{ STR("[::]1"), false, false },
	{ STR("[1::]"), true, false },
	{ STR("[::8]"), true, false },
	{ STR("[1::8]"), true, false },
	{ STR("[1:2:3:4:5:6:7::]"), true, false },
	{ STR("[::2:3:4:5:6:7:8]"), true, false },
	{ STR("[1:2:3:4:5:6:7:8]"), true, false },
	{ STR("[1:2:3:4:5:6:7:8::]"), false, false },
	{ STR("[1:2:3:4:5:6:7:8:]"), false, false },
	{ STR("[1:2:3:4::5:6:7:8]"), false, false },
	{ STR("[:::]"), false, false },
	{ STR("[::1::]"), false, false },
	{ STR("[:]"), false, false },
	{ STR("[1]"), false, false },
	{ STR("[g::]"), false, false },
	{ STR("[00001::]"), false, false },
	{ STR("[::1.2.3.4]"), true, false },
	{ STR("[::0.0.0.0]"), true, false },
	{ STR("[1:2:3:4:5:6:1.2.3.4]"), true, false },
	{ STR("[1:2:3:4:5::1.2.3.4]"), true, false },
	{ STR("[1:2:3:4:5:6::1.2.3.4]"), false, false },
	{ STR("[1:2:3:4:5:1.2.3.4]"), false, false },
	{ STR("[1.2.3.4]"), false, false },
	{ STR("[1.2.3.4::]"), false, false },
	{ STR("[::01.2.3.4]"), false, false },
	{ STR("[::1.2.3.4.5]"), false, false },
	{ STR("[::1..3.4]"), false, false },
	{ STR("[::1.2.3.]"), false, false },
	{ STR("[v1.a:b]"), true, false },
	{ STR("[vF.a]:1"), true, true },
	{ STR("[v.a]"), false, false },
	{ STR("[v1]"), false, false },
	{ STR("[v1.]"), false, false },
	{ STR("[v1.a/]"), false, false },
	{ STR("["), false, false },
	{ STR("[]"), false, false },
	{ STR("]"), false, false },
};

static void
an_authority_is_a_host_and_maybe_a_port(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof authorities / sizeof authorities[0]; i++)
		if (uri_authority_ok(authorities[i].s) != authorities[i].ok ||
		    uri_authority_has_port(authorities[i].s) !=
			authorities[i].port)
			fail_msg("%s", authorities[i].s.p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes_are_decoded_once),
		cmocka_unit_test(an_escape_is_two_hex_digits_and_not_nul),
		cmocka_unit_test(an_escape_does_not_read_past_the_end),
		cmocka_unit_test(an_authority_is_a_host_and_maybe_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
