#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/http/mime.h"

#define OTHER "application/octet-stream"

static void
expect(const char *path, const char *want)
{
	struct str got = mime_type((struct str){ path, strlen(path) });

	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p, want, got.n);
}

/* The search halves the table, so every entry must be where order puts it. */
static void
every_suffix_is_found(void **state)
{
	const char *last = "";

	(void)state;
#define MIME(suffix, type)                                                     \
	expect("a/b." suffix, type);                                           \
	assert_true(strcmp(last, suffix) < 0);                                 \
	last = suffix;
#define TEXT(suffix, type) MIME(suffix, type "; charset=utf-8")
#include "worker/http/mime.def"
#undef TEXT
#undef MIME
	assert_string_not_equal(last, "");
}

static void
the_last_suffix_in_any_case_decides(void **state)
{
	(void)state;
	expect("index.html", "text/html; charset=utf-8");
	expect("INDEX.HtMl", "text/html; charset=utf-8");
	expect("a.tar.gz", "application/gzip");
	expect("jquery.min.js", "text/javascript; charset=utf-8");
	expect(".png", "image/png");
}

static void
what_is_not_known_is_bytes(void **state)
{
	(void)state;
	expect("", OTHER);
	expect("README", OTHER);
	expect("html", OTHER);
	expect("a.", OTHER);
	expect("a.htmlx", OTHER);
	expect("a.htm ", OTHER);
	expect("v1.html/README", OTHER);
	expect("a.zzzzzzzz", OTHER);
	expect("a.\xff", OTHER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_suffix_is_found),
		cmocka_unit_test(the_last_suffix_in_any_case_decides),
		cmocka_unit_test(what_is_not_known_is_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
