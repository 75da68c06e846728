/* What a worker reckons before it serves: its own limits, and the answer to its
 * warm-up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/limits.h"
#include "worker/warmup.h"

static void
jitter_is_between_nothing_and_its_percentage(void **state)
{
	uint64_t least = UINT64_MAX, most = 0;

	(void)state;
	for (uint64_t random = 0; random < 1000; random++) {
		uint64_t n = limits_jittered(1000, 10, random);

		least = n < least ? n : least;
		most = n > most ? n : most;
	}
	assert_int_equal(least, 1000);
	assert_int_equal(most, 1100);
	assert_int_equal(limits_jittered(50, 0, 12345), 50);
	assert_int_equal(limits_jittered(5, 10, 12345), 5);
	assert_int_equal(limits_jittered(15, 10, 1), 16);
	assert_int_equal(limits_jittered(7, 100, 7), 14);
}

static void
resident_memory_is_the_second_number(void **state)
{
	(void)state;
	assert_int_equal(limits_resident("900 25 7 1 0 5 0\n", 4096),
	    25 * 4096);
	assert_int_equal(limits_resident("", 4096), 0);
	assert_int_equal(limits_resident("900", 4096), 0);
	assert_int_equal(limits_resident("x y", 4096), 0);
}

static unsigned
status_of(const char *text)
{
	return warmup_status(text, strlen(text));
}

static void
a_status_is_read_from_the_first_bytes(void **state)
{
	(void)state;
	assert_int_equal(status_of("HTTP/1.1 200 OK\r\n"), 200);
	assert_int_equal(status_of("HTTP/1.1 503"), 503);
	assert_int_equal(status_of("HTTP/1.1 50"), 0);
	assert_int_equal(status_of("HTTP/1.1 2x0 "), 0);
	assert_int_equal(status_of("HTTP/1.0 200 "), 0);
	assert_int_equal(status_of(""), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jitter_is_between_nothing_and_its_percentage),
		cmocka_unit_test(resident_memory_is_the_second_number),
		cmocka_unit_test(a_status_is_read_from_the_first_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
