#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/settings.h"
#include "worker/app.h"

#define APPS_MAX 8

static char any[] = "";

/* The name of the app that mounts, given as "mount" or "mount host", route. */
struct table {
	struct app_settings settings[APPS_MAX];
	struct pf_app app[APPS_MAX];
	struct apps apps;
};

/* The settings are not const: they own their strings. */
static void
/* NOLINTNEXTLINE(readability-non-const-parameter) */
mounted(struct table *t, char *mount, char *host)
{
	size_t n = t->apps.n++;

	t->settings[n] = (struct app_settings){ .mount = mount, .host = host };
	t->app[n] = (struct pf_app){ .settings = &t->settings[n] };
	t->apps.at = t->app;
}

/* Which of them; -1: none. */
static int
routed(const struct table *t, const char *path, const char *host)
{
	struct pf_app *app =
	    apps_route(&t->apps, (struct str){ path, strlen(path) },
		(struct str){ host, strlen(host) });

	return app != NULL ? (int)(app - t->app) : -1;
}

static void
the_longest_mount_has_the_request(void **state)
{
	struct table t = { 0 };
	char shop[] = "/shop", cart[] = "/shop/cart";

	(void)state;
	mounted(&t, shop, any);
	mounted(&t, any, any);
	mounted(&t, cart, any);
	assert_int_equal(routed(&t, "/", ""), 1);
	assert_int_equal(routed(&t, "/other", ""), 1);
	assert_int_equal(routed(&t, "/shop", ""), 0);
	assert_int_equal(routed(&t, "/shop/list", ""), 0);
	assert_int_equal(routed(&t, "/shop/cart", ""), 2);
	assert_int_equal(routed(&t, "/shop/cart/1", ""), 2);
}

static void
a_mount_ends_where_a_segment_ends(void **state)
{
	struct table t = { 0 };
	char shop[] = "/shop";

	(void)state;
	mounted(&t, shop, any);
	assert_int_equal(routed(&t, "/shop", ""), 0);
	assert_int_equal(routed(&t, "/shop/", ""), 0);
	assert_int_equal(routed(&t, "/shopping", ""), -1);
	assert_int_equal(routed(&t, "/sho", ""), -1);
	assert_int_equal(routed(&t, "/Shop", ""), -1);
	assert_int_equal(routed(&t, "/a/shop", ""), -1);
	assert_int_equal(routed(&t, "*", ""), -1);
}

static void
an_app_that_names_the_host_goes_before_one_that_does_not(void **state)
{
	char host[] = "shop.example";

	(void)state;
	for (int order = 0; order < 2; order++) {
		struct table t = { 0 };

		mounted(&t, any, order == 0 ? host : any);
		mounted(&t, any, order == 0 ? any : host);
		assert_int_equal(routed(&t, "/", "shop.example"), order);
		assert_int_equal(routed(&t, "/", "SHOP.Example"), order);
		assert_int_equal(routed(&t, "/", "www.example"), 1 - order);
		assert_int_equal(routed(&t, "/", "shop.example.org"),
		    1 - order);
		assert_int_equal(routed(&t, "/", ""), 1 - order);
	}
}

static void
a_longer_mount_goes_before_a_named_host(void **state)
{
	struct table t = { 0 };
	char host[] = "shop.example", a[] = "/a";

	(void)state;
	mounted(&t, any, host);
	mounted(&t, a, any);
	assert_int_equal(routed(&t, "/a/b", "shop.example"), 1);
	assert_int_equal(routed(&t, "/b", "shop.example"), 0);
}

static void
a_request_may_be_nobodys(void **state)
{
	struct table t = { 0 };
	char host[] = "shop.example";

	(void)state;
	assert_int_equal(routed(&t, "/", ""), -1);
	mounted(&t, any, host);
	assert_int_equal(routed(&t, "/", "www.example"), -1);
	assert_int_equal(routed(&t, "/", ""), -1);
}

static void
the_root_has_every_form_of_target(void **state)
{
	struct table t = { 0 };

	(void)state;
	mounted(&t, any, any);
	assert_int_equal(routed(&t, "*", "a"), 0);
	assert_int_equal(routed(&t, "", "a"), 0);
	assert_int_equal(routed(&t, "//", "a"), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_mount_has_the_request),
		cmocka_unit_test(a_mount_ends_where_a_segment_ends),
		cmocka_unit_test(
		    an_app_that_names_the_host_goes_before_one_that_does_not),
		cmocka_unit_test(a_longer_mount_goes_before_a_named_host),
		cmocka_unit_test(a_request_may_be_nobodys),
		cmocka_unit_test(the_root_has_every_form_of_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
