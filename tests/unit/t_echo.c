#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/mock_host.h"

extern const pf_module prefork_module;

static void
post(struct pf_request *r, int64_t length)
{
	mock_request(r, "POST", "/echo");
	r->info.body_length = length;
	r->info.flags = PF_RF_KEEPALIVE;
}

static void
run(struct pf_request *r)
{
	struct pf_app app = { .name = "e" };
	void *module = NULL;

	assert_int_equal(prefork_module.worker_init(&mock_host, &app, &module),
	    0);
	prefork_module.on_request(NULL, r, NULL);
	mock_finished(r);
}

static void
a_body_comes_back_as_it_arrives(void **state)
{
	struct pf_request r;

	(void)state;
	post(&r, 9);
	mock_header(&r, PF_H_CONTENT_TYPE, "Content-Type", "image/png");
	mock_body(&r, "one");
	mock_body_result(&r, PF_AGAIN, PF_OK);
	mock_body(&r, "two");
	mock_body(&r, "end");
	run(&r);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.length, 9);
	assert_string_equal(r.sent, "onetwoend");
	assert_int_equal(r.n_write_calls, 3);
	assert_int_equal(r.n_read_waits, 1);
	assert_string_equal(mock_field(&r, "content-type"), "image/png");
	assert_true(r.ended);
	mock_free(&r);
}

static void
a_body_of_unknown_length_is_answered_so(void **state)
{
	struct pf_request r;

	(void)state;
	post(&r, -1);
	mock_body(&r, "bytes");
	run(&r);
	assert_int_equal(r.length, -1);
	assert_string_equal(r.sent, "bytes");
	assert_string_equal(mock_field(&r, "content-type"),
	    "application/octet-stream");
	mock_free(&r);
}

static void
no_body_is_an_empty_echo(void **state)
{
	struct pf_request r;

	(void)state;
	post(&r, 0);
	run(&r);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.length, 0);
	assert_int_equal(r.n_sent, 0);
	assert_true(r.ended);
	mock_free(&r);
	post(&r, -1); /* chunked, and the last chunk is the first */
	run(&r);
	assert_true(r.ended);
	assert_int_equal(r.n_sent, 0);
	mock_free(&r);
}

static void
a_client_that_reads_slowly_is_waited_for(void **state)
{
	struct pf_request r;

	(void)state;
	post(&r, 4);
	mock_body(&r, "ab");
	mock_body(&r, "cd");
	r.writes[0] = r.writes[1] = PF_AGAIN;
	r.n_writes = 2;
	run(&r);
	assert_int_equal(r.n_write_waits, 2);
	assert_string_equal(r.sent, "abcd");
	assert_true(r.ended);
	mock_free(&r);
}

static void
an_error_before_the_first_byte_is_a_status(void **state)
{
	static const struct {
		int result;
		unsigned status;
	} table[] = {
		{ PF_ETOOBIG, 413 },
		{ PF_EPROTO, 400 },
		{ PF_ETRAILERS, 431 },
		{ PF_ETIMEOUT, 408 },
		{ PF_ENOMEM, 500 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct pf_request r;

		post(&r, -1);
		mock_body_result(&r, table[i].result, 0);
		run(&r);
		assert_int_equal(r.status, table[i].status);
		assert_true(r.ended && !r.aborted);
		mock_free(&r);
	}
}

static void
an_error_after_the_first_byte_cuts_the_response(void **state)
{
	static const int errors[] = { PF_ETOOBIG, PF_EPROTO, PF_ETIMEOUT };

	(void)state;
	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		struct pf_request r;

		post(&r, -1);
		mock_body(&r, "some");
		mock_body_result(&r, errors[i], 0);
		run(&r);
		assert_int_equal(r.status, 200);
		assert_true(r.aborted && !r.ended);
		mock_free(&r);
	}
}

static void
a_wait_that_times_out_ends_it(void **state)
{
	struct pf_request r;

	(void)state;
	post(&r, 8);
	mock_body_result(&r, PF_AGAIN, PF_ETIMEOUT);
	run(&r);
	assert_int_equal(r.status, 408);
	mock_free(&r);
	post(&r, 8);
	mock_body(&r, "half");
	mock_body(&r, "more");
	r.writes[0] = PF_AGAIN;
	r.n_writes = 1;
	r.wait_writable = PF_ETIMEOUT;
	run(&r);
	assert_true(r.aborted);
	assert_int_equal(r.n_write_calls, 1);
	mock_free(&r);
}

static void
a_client_that_left_ends_it_without_a_word(void **state)
{
	struct pf_request r;

	(void)state;
	post(&r, 8);
	mock_body_result(&r, PF_ECLOSED, 0);
	run(&r);
	assert_false(r.started);
	mock_free(&r);
	post(&r, 8);
	mock_body(&r, "half");
	mock_body(&r, "more");
	r.writes[0] = PF_ECLOSED;
	r.n_writes = 1;
	run(&r);
	assert_int_equal(r.n_write_calls, 1);
	assert_false(r.aborted);
	mock_free(&r);
}

static void
a_head_that_fails_becomes_500(void **state)
{
	struct pf_request r;

	(void)state;
	post(&r, 4);
	mock_body(&r, "body");
	r.start_result = PF_ENOMEM;
	run(&r); /* respond() fails as well: done() alone */
	assert_false(r.started);
	assert_int_equal(r.n_write_calls, 0);
	mock_free(&r);
}

static void
get_shows_the_request_but_no_secrets(void **state)
{
	struct pf_request r;

	(void)state;
	mock_request(&r, "GET", "/echo/x?a=b");
	r.info.mount_len = 5;
	mock_header(&r, PF_H_HOST, "Host", "test");
	mock_header(&r, PF_H_OTHER, "X-Empty", "");
	mock_header(&r, PF_H_COOKIE, "Cookie", "id=secret");
	mock_header(&r, PF_H_AUTHORIZATION, "Authorization", "secret");
	run(&r);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.sent,
	    "method: GET\npath: /echo/x\nmount: /echo\nquery: a=b\n"
	    "client: 192.0.2.1\n\nHost: test\nX-Empty: \nCookie: ...\n"
	    "Authorization: ...\n");
	assert_int_equal(r.length, (int64_t)strlen(r.sent));
	mock_free(&r);
	mock_request(&r, "HEAD", "/echo");
	run(&r);
	assert_int_equal(r.status, 200);
	assert_true(r.length > 0);
	mock_free(&r);
}

static void
get_with_a_body_is_echoed(void **state)
{
	struct pf_request r;

	(void)state;
	mock_request(&r, "GET", "/echo");
	r.info.body_length = 3;
	mock_body(&r, "abc");
	run(&r);
	assert_string_equal(r.sent, "abc");
	mock_free(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_comes_back_as_it_arrives),
		cmocka_unit_test(a_body_of_unknown_length_is_answered_so),
		cmocka_unit_test(no_body_is_an_empty_echo),
		cmocka_unit_test(a_client_that_reads_slowly_is_waited_for),
		cmocka_unit_test(an_error_before_the_first_byte_is_a_status),
		cmocka_unit_test(
		    an_error_after_the_first_byte_cuts_the_response),
		cmocka_unit_test(a_wait_that_times_out_ends_it),
		cmocka_unit_test(a_client_that_left_ends_it_without_a_word),
		cmocka_unit_test(a_head_that_fails_becomes_500),
		cmocka_unit_test(get_shows_the_request_but_no_secrets),
		cmocka_unit_test(get_with_a_body_is_echoed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
