/* What an upgrade hands over: the settings, as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/load.h"
#include "master/image.h"

#define ERR_BYTES 16

/* err as a caller's stack may look: no byte of it set, and more behind it. */
static struct settings *
settings_of(const char *text, char err[ERR_BYTES + 2])
{
	struct settings *s;

	memset(err, 'x', ERR_BYTES);
	memcpy(err + ERR_BYTES, "\n", 2);
	s = image_settings(text, err, ERR_BYTES);
	assert_memory_equal(err + ERR_BYTES, "\n", 2);
	return s;
}

static void
without_a_mistake_nothing_is_said_of_one(void **state)
{
	char err[ERR_BYTES + 2];
	struct settings *s =
	    settings_of("app:a.type=static\napp:a.target=/\n", err);

	(void)state;
	assert_non_null(s);
	assert_string_equal(err, "");
	settings_free(&s);
}

static void
a_mistake_is_cut_to_the_size_of_its_buffer(void **state)
{
	char err[ERR_BYTES + 2];

	(void)state;
	assert_null(settings_of("app:a.nonsense=1\n", err));
	assert_int_equal(strnlen(err, ERR_BYTES), ERR_BYTES - 1);
	assert_memory_equal(err, "state app:a.non", ERR_BYTES - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_mistake_nothing_is_said_of_one),
		cmocka_unit_test(a_mistake_is_cut_to_the_size_of_its_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
