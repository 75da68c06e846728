#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/mock_host.h"

extern const pf_module prefork_module;

static void
ask(struct pf_app *app, struct pf_request *r)
{
	void *state = NULL;

	assert_int_equal(prefork_module.open(&mock_host, app, NULL, &state), 0);
	prefork_module.on_request(state, r, NULL);
	prefork_module.close(state);
	mock_finished(r);
}

static void
says_hello(void **state)
{
	struct pf_app app = { .name = "h" };
	struct pf_request r;

	(void)state;
	mock_request(&r, "GET", "/");
	ask(&app, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.length, 13);
	assert_string_equal(r.sent, "Hello, World!");
	assert_string_equal(mock_field(&r, "content-type"),
	    "text/plain; charset=utf-8");
	mock_free(&r);
}

static void
the_text_is_an_option_and_may_be_empty(void **state)
{
	struct pf_app app = { .options = { { "text", "Moin" } } };
	struct pf_request r;

	(void)state;
	mock_request(&r, "POST", "/any");
	ask(&app, &r);
	assert_string_equal(r.sent, "Moin");
	mock_free(&r);
	app.options[0].value = "";
	mock_request(&r, "GET", "/");
	ask(&app, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.length, 0);
	mock_free(&r);
}

static void
a_response_that_fails_is_given_up_once(void **state)
{
	struct pf_app app = { .name = "h" };
	struct pf_request r;

	(void)state;
	mock_request(&r, "GET", "/");
	r.start_result = PF_ENOMEM;
	ask(&app, &r);
	assert_false(r.started);
	mock_free(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_hello),
		cmocka_unit_test(the_text_is_an_option_and_may_be_empty),
		cmocka_unit_test(a_response_that_fails_is_given_up_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
