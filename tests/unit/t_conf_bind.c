#include "tests/unit/t_conf.h"

#include "conf/bind.h"

/* One address: its canonical spelling and parts, or why it is refused. */
struct address {
	const char *text;
	const char *spec, *host;
	int kind;
	uint16_t port;
	const char *why;
};

static const char no_ip[] =
    "not an IP address; names other than localhost are not looked up";
static const char bad_port[] = "the port is not a number from 0 to 65535";
static const char bad_fd[] = "the descriptor is not a number from 3 to 32767";

static const char bad_name[] = "the name has a character that is not allowed";

static void
an_address_has_one_spelling(void **state)
{
	static const struct address cases[] = {
		{ "127.0.0.1:8000", "127.0.0.1:8000", "127.0.0.1", BIND_TCP4,
		    8000, NULL },
		{ " 127.0.0.1:0 ", "127.0.0.1:0", "127.0.0.1", BIND_TCP4, 0,
		    NULL },
		{ "*:80", "0.0.0.0:80", "0.0.0.0", BIND_TCP4, 80, NULL },
		{ ":00080", "0.0.0.0:80", "0.0.0.0", BIND_TCP4, 80, NULL },
		{ "LocalHost:80", "127.0.0.1:80", "127.0.0.1", BIND_TCP4, 80,
		    NULL },
		{ "[::1]:65535", "[::1]:65535", "::1", BIND_TCP6, 65535, NULL },
		{ "[0:0:0::A]:1", "[::a]:1", "::a", BIND_TCP6, 1, NULL },
		{ "unix:/run/x.sock", "unix:/run/x.sock", "/run/x.sock",
		    BIND_UNIX, 0, NULL },
		{ "unix:///run/x.sock", "unix:/run/x.sock", "/run/x.sock",
		    BIND_UNIX, 0, NULL },
		{ "unix:x.sock", "unix:x.sock", "x.sock", BIND_UNIX, 0, NULL },
		{ "unix:////x", "unix:////x", "//x", BIND_UNIX, 0, NULL },
		{ "fd://3", "fd://3", NULL, BIND_FD, 0, NULL },
		{ "fd://web.socket", "fd://web.socket", "web.socket", BIND_FD,
		    0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct address *c = &cases[i];
		struct bind_list l = { .n = 0 };

		assert_null(bind_list_parse(&l, c->text));
		assert_int_equal(l.n, 1);
		assert_string_equal(l.at[0].spec, c->spec);
		assert_int_equal(l.at[0].kind, c->kind);
		assert_int_equal(l.at[0].port, c->port);
		assert_int_equal(l.at[0].fd,
		    c->kind == BIND_FD && c->host == NULL ? 3 : -1);
		if (c->host != NULL)
			assert_string_equal(l.at[0].host, c->host);
		else
			assert_null(l.at[0].host);
		bind_list_fini(&l);
	}
}

static void
a_wrong_address_says_why(void **state)
{
	static const struct address cases[] = {
		{ .text = "", .why = "has an empty address" },
		{ .text = "127.0.0.1", .why = "has no port" },
		{ .text = "example.com:80", .why = no_ip },
		{ .text = "127.1:80", .why = no_ip },
		{ .text = "[::g]:80", .why = no_ip },
		{ .text = "127.0.0.1:", .why = bad_port },
		{ .text = "127.0.0.1:65536", .why = bad_port },
		{ .text = "127.0.0.1:8o", .why = bad_port },
		{ .text = "[::1]:-1", .why = bad_port },
		{ .text = "::1:80", .why = "want [v6 address]:port" },
		{ .text = "[::1]", .why = "want [v6 address]:port" },
		{ .text = "[::1:80", .why = "want [v6 address]:port" },
		{ .text = "unix:", .why = "has no path" },
		{ .text = "unix:@x",
		    .why = "abstract sockets are not supported" },
		{ .text = "fd://", .why = bad_fd },
		{ .text = "fd://2", .why = bad_fd },
		{ .text = "fd://32768", .why = bad_fd },
		{ .text = "fd://3x", .why = bad_fd },
		{ .text = "fd://a b", .why = bad_name },
		{ .text = "fd://a:b", .why = bad_name },
		{ .text = "fd://\x7f", .why = bad_name },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct bind_list l = { .n = 0 };

		assert_string_equal(bind_list_parse(&l, cases[i].text),
		    cases[i].why);
		assert_int_equal(l.n, 0);
		assert_null(l.at);
	}
}

static void
several_addresses_stand_between_commas(void **state)
{
	struct bind_list l = { .n = 0 };

	(void)state;
	assert_null(bind_list_parse(&l, ":80 , [::]:80\t,unix:/a b"));
	assert_int_equal(l.n, 3);
	assert_string_equal(l.at[0].spec, "0.0.0.0:80");
	assert_string_equal(l.at[1].spec, "[::]:80");
	assert_string_equal(l.at[2].spec, "unix:/a b");
	bind_list_fini(&l);
	assert_string_equal(bind_list_parse(&l, ":80,"),
	    "has an empty address");
	assert_string_equal(bind_list_parse(&l, ":80,,:81"),
	    "has an empty address");
	assert_string_equal(bind_list_parse(&l, ":80,*:080"),
	    "at *:080: names an address twice");
	assert_string_equal(bind_list_parse(&l, "::1:80 , :81"),
	    "at ::1:80: want [v6 address]:port");
	assert_null(l.at);
}

static void
a_list_and_its_addresses_have_limits(void **state)
{
	char path[400] = "unix:/", list[64 * 8 + 16] = "";
	struct bind_list l = { .n = 0 };

	(void)state;
	memset(path + 6, 'p', 107);
	assert_string_equal(bind_list_parse(&l, path),
	    "the path is longer than 107 bytes");
	path[5 + 107] = '\0';
	assert_null(bind_list_parse(&l, path));
	bind_list_fini(&l);
	memset(path + 6, 'p', 300);
	assert_string_equal(bind_list_parse(&l, path),
	    "has an address of more than 255 bytes");
	for (int i = 0; i < 64; i++)
		snprintf(list + strlen(list), sizeof list - strlen(list),
		    "%s:%d", i > 0 ? "," : "", i + 1);
	assert_null(bind_list_parse(&l, list));
	assert_int_equal(l.n, 64);
	bind_list_fini(&l);
	memcpy(list + strlen(list), ",:65", sizeof ",:65");
	assert_string_equal(bind_list_parse(&l, list),
	    "at :65: has more than 64 addresses");
	assert_null(l.at);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_has_one_spelling),
		cmocka_unit_test(a_wrong_address_says_why),
		cmocka_unit_test(several_addresses_stand_between_commas),
		cmocka_unit_test(a_list_and_its_addresses_have_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
