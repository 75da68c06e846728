#include "tests/unit/t_conf.h"

#include "conf/table.h"
#include "conf/types.h"

/* A value, and how it prints; or NULL and why it is refused. */
struct value {
	enum setting_row row;
	const char *text, *printed, *why;
};

/* The caller frees it. */
static char *
printed_value(const void *base, const struct setting *s)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	s->type->print(setting_value(base, s), out);
	fclose(out);
	return text;
}

/* Parses into *base what was zero before, or stays zero. */
static void
check_value(void *base, const struct value *v)
{
	const struct setting *s = setting_at(v->row);
	const char *why = setting_parse(base, s, v->text);
	char *text;

	if (v->why != NULL) {
		if (why == NULL || strcmp(why, v->why) != 0)
			fail_msg("%s = %s: '%s', not '%s'", s->key, v->text,
			    why != NULL ? why : "accepted", v->why);
		return;
	}
	if (why != NULL)
		fail_msg("%s = %s: '%s'", s->key, v->text, why);
	text = printed_value(base, s);
	assert_string_equal(text, v->printed);
	assert_null(setting_parse(base, s, text));
	free(text);
	text = printed_value(base, s);
	assert_string_equal(text, v->printed);
	free(text);
}

static void
check_values(const struct value *at, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct settings st = { .n_apps = 0 };
		struct app_settings app = { .n_options = 0 };
		const struct setting *s = setting_at(at[i].row);
		void *base = setting_is_app(s) ? (void *)&app : (void *)&st;

		check_value(base, &at[i]);
		if (s->type->fini != NULL)
			s->type->fini(setting_field(base, s));
	}
}
#define CHECK(array) check_values(array, sizeof array / sizeof array[0])

static void
a_time_has_a_unit_or_is_in_seconds(void **state)
{
	static const struct value cases[] = {
		{ ROW_server_queue_timeout, "0", "0", NULL },
		{ ROW_server_queue_timeout, "0s", "0", NULL },
		{ ROW_server_queue_timeout, "90", "90s", NULL },
		{ ROW_server_queue_timeout, "1500ms", "1500ms", NULL },
		{ ROW_server_queue_timeout, "2000ms", "2s", NULL },
		{ ROW_server_queue_timeout, "60s", "1m", NULL },
		{ ROW_server_queue_timeout, "5M", "5m", NULL },
		{ ROW_server_queue_timeout, "2h", "2h", NULL },
		{ ROW_server_queue_timeout, "1d", "1d", NULL },
		{ ROW_server_queue_timeout, "2d", NULL, "too large" },
		{ ROW_http_header_timeout, "0", NULL, "too small" },
		{ ROW_server_queue_timeout, "", NULL, "" },
		{ ROW_server_queue_timeout, "-1", NULL, "" },
		{ ROW_server_queue_timeout, "s", NULL, "" },
		{ ROW_server_queue_timeout, "1.5s", NULL, "no such unit" },
		{ ROW_server_queue_timeout, "1 s", NULL, "no such unit" },
		{ ROW_server_queue_timeout, "1y", NULL, "no such unit" },
		{ ROW_server_queue_timeout, "18446744073709551615d", NULL,
		    "too large" },
		{ ROW_server_queue_timeout, "99999999999999999999999", NULL,
		    "too large" },
	};

	(void)state;
	CHECK(cases);
}

static void
a_size_may_have_k_m_or_g_in_either_case(void **state)
{
	static const struct value cases[] = {
		{ ROW_http_max_body, "0", "0", NULL },
		{ ROW_http_max_body, "1023", "1023", NULL },
		{ ROW_http_max_body, "1024", "1k", NULL },
		{ ROW_http_max_body, "64K", "64k", NULL },
		{ ROW_http_max_body, "1024k", "1M", NULL },
		{ ROW_http_max_body, "16m", "16M", NULL },
		{ ROW_http_max_body, "3g", "3G", NULL },
		{ ROW_http_max_body, "1152921504606846976", "1073741824G",
		    NULL },
		{ ROW_http_max_body, "1152921504606846977", NULL, "too large" },
		{ ROW_http_max_body, "17179869184G", NULL, "too large" },
		{ ROW_http_max_head, "255", NULL, "too small" },
		{ ROW_http_max_body, "1kb", NULL, "no such unit" },
		{ ROW_http_max_body, "0x10", NULL, "no such unit" },
		{ ROW_http_max_body, "k", NULL, "" },
	};

	(void)state;
	CHECK(cases);
}

static void
a_number_keeps_its_bounds(void **state)
{
	static const struct value cases[] = {
		{ ROW_server_backlog, "1", "1", NULL },
		{ ROW_server_backlog, "65535", "65535", NULL },
		{ ROW_server_backlog, "0", NULL, "too small" },
		{ ROW_server_backlog, "65536", NULL, "too large" },
		{ ROW_server_backlog, "+5", NULL, "" },
		{ ROW_server_backlog, "5k", NULL, "" },
		{ ROW_http_max_keepalive_requests, "4294967295", "4294967295",
		    NULL },
		{ ROW_server_workers, "3", "3", NULL },
		{ ROW_server_workers, "0", NULL, "too small" },
		{ ROW_server_workers, "1025", NULL, "too large" },
		{ ROW_server_workers, "Auto", NULL, "" },
	};

	(void)state;
	CHECK(cases);
}

static void
a_range_is_one_number_or_two_in_order(void **state)
{
	static const struct value cases[] = {
		{ ROW_server_threads, "4", "4", NULL },
		{ ROW_server_threads, "1-64", "1-64", NULL },
		{ ROW_server_threads, "7-7", "7", NULL },
		{ ROW_server_threads, "9-2", NULL, "ends below its start" },
		{ ROW_server_threads, "0-2", NULL, "too small" },
		{ ROW_server_threads, "1-1025", NULL, "too large" },
		{ ROW_server_threads, "1-", NULL, "" },
		{ ROW_server_threads, "-4", NULL, "" },
		{ ROW_server_threads, "1-2-3", NULL, "" },
		{ ROW_server_threads, "1 - 2", NULL, "" },
	};

	(void)state;
	CHECK(cases);
}

static void
a_percentage_may_have_its_sign(void **state)
{
	static const struct value cases[] = {
		{ ROW_server_max_requests_jitter, "0", "0%", NULL },
		{ ROW_server_max_requests_jitter, "15", "15%", NULL },
		{ ROW_server_max_requests_jitter, "100%", "100%", NULL },
		{ ROW_server_max_requests_jitter, "101%", NULL, "too large" },
		{ ROW_server_max_requests_jitter, "-1%", NULL, "" },
		{ ROW_server_max_requests_jitter, "5%%", NULL, "" },
		{ ROW_server_max_requests_jitter, "5 %", NULL, "" },
		{ ROW_server_max_requests_jitter, "%", NULL, "" },
	};

	(void)state;
	CHECK(cases);
}

static void
a_path_is_what_a_request_line_can_have(void **state)
{
	static const char odd[] = "has a #, space or byte beyond ASCII";
	static const struct value cases[] = {
		{ ROW_app_warmup, "", "", NULL },
		{ ROW_app_warmup, "/", "/", NULL },
		{ ROW_app_warmup, "/a/?b=%41", "/a/?b=%41", NULL },
		{ ROW_app_warmup, "a", NULL, "" },
		{ ROW_app_warmup, "/a b", NULL, odd },
		{ ROW_app_warmup, "/a#b", NULL, odd },
		{ ROW_app_warmup, "/\xc3\xa4", NULL, odd },
		{ ROW_app_warmup, "/\x7f", NULL, odd },
	};

	(void)state;
	CHECK(cases);
}

static void
a_mode_is_octal(void **state)
{
	static const struct value cases[] = {
		{ ROW_server_umask, "22", "0022", NULL },
		{ ROW_server_umask, "0", "0000", NULL },
		{ ROW_server_umask, "0777", "0777", NULL },
		{ ROW_server_umask, "1000", NULL, "too large" },
		{ ROW_server_umask, "77777777777777777777777", NULL,
		    "too large" },
		{ ROW_server_umask, "8", NULL, "" },
		{ ROW_server_umask, "rwx", NULL, "" },
		{ ROW_server_umask, "", NULL, "" },
	};

	(void)state;
	CHECK(cases);
}

static void
a_name_of_a_choice_is_spelled_exactly(void **state)
{
	static const struct value cases[] = {
		{ ROW_http_server_header, "yes", "yes", NULL },
		{ ROW_http_server_header, "no", "no", NULL },
		{ ROW_http_server_header, "YES", NULL, "" },
		{ ROW_http_server_header, "true", NULL, "" },
		{ ROW_http_server_header, "", NULL, "" },
		{ ROW_log_level, "error", "error", NULL },
		{ ROW_log_level, "debug", "debug", NULL },
		{ ROW_log_level, "warning", NULL, "" },
		{ ROW_app_type, "static", "static", NULL },
		{ ROW_app_type, "module", "module", NULL },
		{ ROW_app_type, "cgi", NULL, "" },
	};

	(void)state;
	CHECK(cases);
}

static void
a_mount_is_a_path_without_surprises(void **state)
{
	static const struct value cases[] = {
		{ ROW_app_mount, "/", "/", NULL },
		{ ROW_app_mount, "/a/b", "/a/b", NULL },
		{ ROW_app_mount, "/a/b/", "/a/b", NULL },
		{ ROW_app_mount, "/...", "/...", NULL },
		{ ROW_app_mount, "", NULL, "" },
		{ ROW_app_mount, "a", NULL, "" },
		{ ROW_app_mount, "//", NULL, "has an empty segment" },
		{ ROW_app_mount, "/a//b", NULL, "has an empty segment" },
		{ ROW_app_mount, "/.", NULL, "has a dot segment" },
		{ ROW_app_mount, "/a/../b", NULL, "has a dot segment" },
		{ ROW_app_mount, "/a/..", NULL, "has a dot segment" },
		{ ROW_app_mount, "/%41", NULL, "has a %, ?, # or space" },
		{ ROW_app_mount, "/a?b", NULL, "has a %, ?, # or space" },
		{ ROW_app_mount, "/a#b", NULL, "has a %, ?, # or space" },
		{ ROW_app_mount, "/a b", NULL, "has a %, ?, # or space" },
	};

	(void)state;
	CHECK(cases);
}

static void
the_mount_of_everything_is_the_empty_string(void **state)
{
	struct loaded l = assert_loads(AN_APP);

	(void)state;
	assert_string_equal(l.st->apps[0].mount, "");
	loaded_free(&l);
}

static void
a_host_is_lower_case_and_has_no_port(void **state)
{
	static const struct value cases[] = {
		{ ROW_app_host, "", "", NULL },
		{ ROW_app_host, "WWW.Example.COM", "www.example.com", NULL },
		{ ROW_app_host, "127.0.0.1", "127.0.0.1", NULL },
		{ ROW_app_host, "[::1]", "[::1]", NULL },
		{ ROW_app_host, "a:80", NULL, "has a port" },
		{ ROW_app_host, "[::1]:80", NULL, "" },
		{ ROW_app_host, "[::1", NULL, "" },
		{ ROW_app_host, "a b", NULL, "" },
		{ ROW_app_host, "a/b", NULL, "" },
		{ ROW_app_host, "*.example.com", NULL, "" },
	};

	(void)state;
	CHECK(cases);
}

static void
a_text_beyond_its_length_is_refused(void **state)
{
	char user[66], mount[1027], host[257];
	struct value cases[] = {
		{ ROW_server_user, user, NULL, "too long" },
		{ ROW_app_mount, mount, NULL, "too long" },
		{ ROW_app_host, host, NULL, "too long" },
	};

	(void)state;
	memset(user, 'u', sizeof user);
	user[65] = '\0';
	memset(mount, '/', 1);
	memset(mount + 1, 'm', sizeof mount - 1);
	mount[1025] = '\0';
	memset(host, 'h', sizeof host);
	host[256] = '\0';
	CHECK(cases);
	user[64] = mount[1024] = host[255] = '\0';
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		cases[i].printed = cases[i].text;
		cases[i].why = NULL;
	}
	CHECK(cases);
}

static void
every_default_is_a_value_and_every_type_describes_itself(void **state)
{
	struct settings st = { .n_apps = 0 };
	char *text;
	size_t n;

	(void)state;
	for (int i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);
		FILE *out = open_memstream(&text, &n);

		assert_non_null(out);
		assert_int_equal(s->row, i);
		s->type->describe(s, out);
		fclose(out);
		assert_true(n > 0);
		free(text);
		if (setting_is_app(s))
			continue;
		assert_null(setting_parse(&st, s, s->def));
		if (s->type->fini != NULL)
			s->type->fini(setting_field(&st, s));
	}
}

static void
trust_is_a_list_of_networks_and_words(void **state)
{
	static const struct value cases[] = {
		{ ROW_proxy_trust, "", "", NULL },
		{ ROW_proxy_trust, "unix", "unix", NULL },
		{ ROW_proxy_trust, "*", "*", NULL },
		{ ROW_proxy_trust, "127.0.0.1,::1", "127.0.0.1, ::1", NULL },
		{ ROW_proxy_trust, "unix , 10.0.0.0/8", "10.0.0.0/8, unix",
		    NULL },
		{ ROW_proxy_trust, "*, 10.1.2.3/32, 2001:DB8::/32, unix",
		    "10.1.2.3, 2001:db8::/32, unix, *", NULL },
		{ ROW_proxy_trust, "0.0.0.0/0, ::/0", "0.0.0.0/0, ::/0", NULL },
		{ ROW_proxy_trust, "10.16.0.0/12", "10.16.0.0/12", NULL },
		{ ROW_proxy_trust, "::ffff:10.0.0.0/104", "10.0.0.0/8", NULL },
		{ ROW_proxy_trust, "::ffff:10.0.0.1", "10.0.0.1", NULL },
		{ ROW_proxy_trust, "localhost", NULL,
		    "has something that is no IP address; names are not "
		    "looked up" },
		{ ROW_proxy_trust, "10.0.0/8", NULL,
		    "has something that is no IP address; names are not "
		    "looked up" },
		{ ROW_proxy_trust, "Unix", NULL,
		    "has something that is no IP address; names are not "
		    "looked up" },
		{ ROW_proxy_trust, "[::1]", NULL,
		    "has something that is no IP address; names are not "
		    "looked up" },
		{ ROW_proxy_trust, "10.0.0.0/33", NULL,
		    "has a prefix length that is not a number from 0 to 32" },
		{ ROW_proxy_trust, "10.0.0.0/", NULL,
		    "has a prefix length that is not a number from 0 to 32" },
		{ ROW_proxy_trust, "10.0.0.0/8x", NULL,
		    "has a prefix length that is not a number from 0 to 32" },
		{ ROW_proxy_trust, "::/129", NULL,
		    "has a prefix length that is not a number from 0 to 128" },
		{ ROW_proxy_trust, "10.0.0.1/8", NULL,
		    "has a network with bits set behind its prefix" },
		{ ROW_proxy_trust, "10.16.0.0/11", NULL,
		    "has a network with bits set behind its prefix" },
		{ ROW_proxy_trust, "2001:db8::1/64", NULL,
		    "has a network with bits set behind its prefix" },
		{ ROW_proxy_trust, "10.0.0.1,", NULL, "has an empty member" },
		{ ROW_proxy_trust, ",10.0.0.1", NULL, "has an empty member" },
	};

	(void)state;
	CHECK(cases);
}

static void
trust_has_256_networks_at_most(void **state)
{
	char text[4000] = "";
	struct settings st = { .n_apps = 0 };
	const struct setting *s = setting_at(ROW_proxy_trust);

	(void)state;
	for (int i = 0; i < 256; i++)
		sprintf(text + strlen(text), "%s10.0.0.%d", i ? "," : "", i);
	assert_null(setting_parse(&st, s, text));
	sprintf(text + strlen(text), ",unix");
	assert_null(setting_parse(&st, s, text));
	sprintf(text + strlen(text), ",::1");
	assert_string_equal(setting_parse(&st, s, text),
	    "at ::1: has more than 256 addresses");
	assert_int_equal(st.proxy_trust.n, 256); /* as it was */
	s->type->fini(setting_field(&st, s));
}

static void
the_proxy_protocol_is_off_or_on_or_of_some_listeners(void **state)
{
	static const struct value cases[] = {
		{ ROW_proxy_protocol, "off", "off", NULL },
		{ ROW_proxy_protocol, "on", "on", NULL },
		{ ROW_proxy_protocol, ":80,unix:/run/x",
		    "0.0.0.0:80, unix:/run/x", NULL },
		{ ROW_proxy_protocol, "yes", NULL, "has no port" },
		{ ROW_proxy_protocol, "", NULL, "has an empty address" },
	};

	(void)state;
	CHECK(cases);
}

static void
fields_of_a_proxy_are_named(void **state)
{
	static const struct value cases[] = {
		{ ROW_proxy_fields, "", "", NULL },
		{ ROW_proxy_fields, "forwarded", "Forwarded", NULL },
		{ ROW_proxy_fields, "X-Forwarded-Proto ,x-forwarded-for",
		    "X-Forwarded-For, X-Forwarded-Proto", NULL },
		{ ROW_proxy_fields, "X-Forwarded", NULL, "" },
		{ ROW_proxy_fields, "Forwarded,", NULL, "" },
		{ ROW_proxy_fields, ",Forwarded", NULL, "" },
		{ ROW_proxy_fields, "Forwarded X-Forwarded-For", NULL,
		    "has no comma between two names" },
	};

	(void)state;
	CHECK(cases);
}

static void
help_texts_are_sentences_without_stray_space(void **state)
{
	(void)state;
	for (int i = 0; i < N_SETTINGS; i++) {
		const char *help = setting_at((enum setting_row)i)->help;
		size_t n = strlen(help);

		assert_true(n > 0 && n < 500);
		assert_int_equal(help[n - 1], '.');
		assert_null(strstr(help, "  "));
		assert_null(strchr(help, '\n'));
		assert_null(strchr(help, '\\'));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_time_has_a_unit_or_is_in_seconds),
		cmocka_unit_test(a_size_may_have_k_m_or_g_in_either_case),
		cmocka_unit_test(a_number_keeps_its_bounds),
		cmocka_unit_test(a_range_is_one_number_or_two_in_order),
		cmocka_unit_test(a_percentage_may_have_its_sign),
		cmocka_unit_test(a_path_is_what_a_request_line_can_have),
		cmocka_unit_test(a_mode_is_octal),
		cmocka_unit_test(a_name_of_a_choice_is_spelled_exactly),
		cmocka_unit_test(a_mount_is_a_path_without_surprises),
		cmocka_unit_test(the_mount_of_everything_is_the_empty_string),
		cmocka_unit_test(a_host_is_lower_case_and_has_no_port),
		cmocka_unit_test(a_text_beyond_its_length_is_refused),
		cmocka_unit_test(
		    every_default_is_a_value_and_every_type_describes_itself),
		cmocka_unit_test(trust_is_a_list_of_networks_and_words),
		cmocka_unit_test(trust_has_256_networks_at_most),
		cmocka_unit_test(
		    the_proxy_protocol_is_off_or_on_or_of_some_listeners),
		cmocka_unit_test(fields_of_a_proxy_are_named),
		cmocka_unit_test(help_texts_are_sentences_without_stray_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
