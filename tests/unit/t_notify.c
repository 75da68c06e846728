/* Where a service manager is told: the values of NOTIFY_SOCKET. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "common/fd.h"
#include "master/notify.h"

static void
a_path_is_the_name_of_a_socket(void **state)
{
	struct sockaddr_un sun;

	(void)state;
	assert_int_equal(notify_address("/run/systemd/notify", &sun),
	    sizeof sun);
	assert_int_equal(sun.sun_family, AF_UNIX);
	assert_string_equal(sun.sun_path, "/run/systemd/notify");
}

static void
an_at_sign_stands_for_the_zero_of_an_abstract_name(void **state)
{
	struct sockaddr_un sun;

	(void)state;
	assert_int_equal(notify_address("@ab", &sun),
	    offsetof(struct sockaddr_un, sun_path) + 3);
	assert_memory_equal(sun.sun_path, "\0ab", 3);
}

static void
anything_else_is_no_address(void **state)
{
	char longest[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
	struct sockaddr_un sun;

	(void)state;
	assert_int_equal(notify_address("", &sun), 0);
	assert_int_equal(notify_address("@", &sun), 0);
	assert_int_equal(notify_address("vsock:2:1234", &sun), 0);
	assert_int_equal(notify_address("run/notify", &sun), 0);
	memset(longest, '/', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	assert_int_equal(notify_address(longest, &sun), 0);
	assert_true(notify_address(longest + 1, &sun) > 0);
}

/* NOLINTBEGIN(concurrency-mt-unsafe): one thread */
static void
the_variables_are_taken_away(void **state)
{
	static const char *const names[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC",
		"WATCHDOG_PID" };
	struct notify n;

	(void)state;
	setenv("NOTIFY_SOCKET", "@prefork-t_notify", 1);
	setenv("WATCHDOG_USEC", "5000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	notify_open(&n);
	assert_true(n.fd >= 0);
	assert_int_equal(n.watchdog_us, 0); /* it is for another process */
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		assert_null(getenv(names[i]));
	notify_close(&n);
	setenv("NOTIFY_SOCKET", "@prefork-t_notify", 1);
	setenv("WATCHDOG_USEC", "5000000", 1);
	notify_open(&n);
	assert_int_equal(n.watchdog_us, 5000000);
	notify_close(&n);
	notify_open(&n); /* nobody asks now */
	assert_int_equal(n.fd, -1);
	notify_close(&n);
}

/* NOLINTEND(concurrency-mt-unsafe) */

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_is_the_name_of_a_socket),
		cmocka_unit_test(
		    an_at_sign_stands_for_the_zero_of_an_abstract_name),
		cmocka_unit_test(anything_else_is_no_address),
		cmocka_unit_test(the_variables_are_taken_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
