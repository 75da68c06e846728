#include "tests/unit/t_conf.h"

#include <arpa/inet.h>

#include "conf/trust.h"

static bool
has(const char *list, sa_family_t family, const char *ip)
{
	unsigned char bytes[16] = { 0 };
	struct trust t;
	bool found;

	assert_null(trust_parse(&t, list));
	if (family != AF_UNIX)
		assert_int_equal(inet_pton(family, ip, bytes), 1);
	found = trust_has(&t, family, bytes);
	trust_fini(&t);
	return found;
}

static void
an_address_is_in_its_network(void **state)
{
	(void)state;
	assert_true(has("10.0.0.1", AF_INET, "10.0.0.1"));
	assert_false(has("10.0.0.1", AF_INET, "10.0.0.2"));
	assert_true(has("10.0.0.0/8", AF_INET, "10.255.255.255"));
	assert_false(has("10.0.0.0/8", AF_INET, "11.0.0.0"));
	assert_true(has("10.16.0.0/12", AF_INET, "10.31.255.255"));
	assert_false(has("10.16.0.0/12", AF_INET, "10.32.0.0"));
	assert_true(has("10.0.0.0/31", AF_INET, "10.0.0.1"));
	assert_false(has("10.0.0.0/31", AF_INET, "10.0.0.2"));
	assert_true(has("1.1.1.1, 2001:db8::/33", AF_INET6, "2001:db8::1"));
	assert_false(has("2001:db8::/33", AF_INET6, "2001:db8:8000::"));
	assert_true(has("fd00::/8, ::1", AF_INET6, "::1"));
	assert_false(has("", AF_INET, "127.0.0.1"));
}

static void
ipv4_in_ipv6_is_ipv4(void **state)
{
	(void)state;
	assert_true(has("10.0.0.0/8", AF_INET6, "::ffff:10.1.2.3"));
	assert_true(has("::ffff:10.0.0.0/104", AF_INET, "10.1.2.3"));
	assert_true(has("::ffff:0:0/96", AF_INET, "1.2.3.4"));
	assert_false(has("10.0.0.0/8", AF_INET6, "a01:203::"));
	assert_false(has("a00::/8", AF_INET, "10.0.0.1"));
}

static void
all_of_one_family_is_not_all(void **state)
{
	(void)state;
	assert_true(has("0.0.0.0/0", AF_INET, "1.2.3.4"));
	assert_false(has("0.0.0.0/0", AF_INET6, "2001:db8::1"));
	assert_false(has("0.0.0.0/0, ::/0", AF_UNIX, NULL));
	assert_true(has("::/0", AF_INET6, "2001:db8::1"));
	assert_false(has("::/0", AF_INET, "1.2.3.4"));
	assert_false(has("::/0", AF_INET6, "::ffff:1.2.3.4"));
}

static void
words_stand_for_unix_sockets_and_for_everybody(void **state)
{
	(void)state;
	assert_true(has("unix", AF_UNIX, NULL));
	assert_false(has("127.0.0.1", AF_UNIX, NULL));
	assert_false(has("unix", AF_INET, "127.0.0.1"));
	assert_true(has("*", AF_UNIX, NULL));
	assert_true(has("*", AF_INET, "1.2.3.4"));
	assert_true(has("*", AF_INET6, "2001:db8::1"));
}

static void
a_wrong_network_is_told_with_its_line(void **state)
{
	(void)state;
	assert_refused("[proxy]\n\ntrust = 10.0.0.0/8, 10.0.0.0/40\n" AN_APP,
	    "server.ini:3: [proxy] trust = 10.0.0.0/8, 10.0.0.0/40: at "
	    "10.0.0.0/40: has a prefix length that is not a number from 0 to "
	    "32; must be IP "
	    "addresses, networks such as 10.0.0.0/8, unix or *, several with "
	    "commas\n");
}

static void
a_listener_with_the_proxy_protocol_must_be_one_of_bind(void **state)
{
	struct loaded l =
	    assert_loads("[server]\nbind = :81, unix:/a\n[proxy]\n"
			 "protocol = unix:/a\n" AN_APP);

	(void)state;
	assert_int_equal(l.st->proxy_protocol.some.n, 1);
	assert_false(l.st->proxy_protocol.all);
	loaded_free(&l);
	assert_refused("[proxy]\nprotocol = :81\n[server]\nbind = :80\n" AN_APP,
	    "server.ini:2: [proxy] protocol = 0.0.0.0:81: is not among the "
	    "addresses of bind\n");
}

static void
forwarded_allow_ips_is_the_default_and_unix(void **state)
{
	static const char *const good[] = {
		"FORWARDED_ALLOW_IPS=10.0.0.1,10.0.0.2", NULL
	};
	static const char *const bad[] = { "FORWARDED_ALLOW_IPS=proxy", NULL };
	static const char text[] = AN_APP, own[] = "[proxy]\ntrust =\n" AN_APP;
	struct loaded l;

	(void)state;
	l = load_from((struct settings_source){ .environment = good }, text,
	    sizeof text - 1);
	assert_string_equal(l.errors, "");
	assert_int_equal(l.st->proxy_trust.n, 2);
	assert_true(l.st->proxy_trust.unix_sockets);
	loaded_free(&l);
	l = load_from((struct settings_source){ .environment = good }, own,
	    sizeof own - 1);
	assert_string_equal(l.errors, "");
	assert_int_equal(l.st->proxy_trust.n, 0);
	assert_false(l.st->proxy_trust.unix_sockets);
	loaded_free(&l);
	l = load_from((struct settings_source){ .environment = bad }, text,
	    sizeof text - 1);
	assert_null(l.st);
	assert_non_null(
	    strstr(l.errors, "environment FORWARDED_ALLOW_IPS: proxy"));
	loaded_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_in_its_network),
		cmocka_unit_test(ipv4_in_ipv6_is_ipv4),
		cmocka_unit_test(all_of_one_family_is_not_all),
		cmocka_unit_test(
		    words_stand_for_unix_sockets_and_for_everybody),
		cmocka_unit_test(a_wrong_network_is_told_with_its_line),
		cmocka_unit_test(
		    a_listener_with_the_proxy_protocol_must_be_one_of_bind),
		cmocka_unit_test(forwarded_allow_ips_is_the_default_and_unix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
