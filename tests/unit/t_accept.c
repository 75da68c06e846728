#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/net/accept.h"

static void
expect_all(const int *errs, size_t n, enum accept_verdict want)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(accept_verdict(errs[i]), want);
}

#define EXPECT(want, ...)                                                      \
	do {                                                                   \
		static const int errs[] = { __VA_ARGS__ };                     \
		expect_all(errs, sizeof errs / sizeof errs[0], want);          \
	} while (0)

static void
a_connection_that_is_lost_is_no_reason_to_stop(void **state)
{
	(void)state;
	EXPECT(ACCEPT_AGAIN, EINTR, ECONNABORTED, EPERM, EPROTO, ENETDOWN,
	    ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP,
	    ENETUNREACH);
}

static void
what_a_sibling_took_is_not_waited_for(void **state)
{
	(void)state;
	EXPECT(ACCEPT_DRAINED, EAGAIN, EWOULDBLOCK);
}

static void
without_descriptors_or_memory_it_pauses(void **state)
{
	(void)state;
	EXPECT(ACCEPT_EXHAUSTED, EMFILE, ENFILE, ENOBUFS, ENOMEM);
}

static void
a_listener_of_no_use_is_given_up(void **state)
{
	(void)state;
	EXPECT(ACCEPT_BROKEN, EBADF, EINVAL, ENOTSOCK, EFAULT, 0, 9999);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_connection_that_is_lost_is_no_reason_to_stop),
		cmocka_unit_test(what_a_sibling_took_is_not_waited_for),
		cmocka_unit_test(without_descriptors_or_memory_it_pauses),
		cmocka_unit_test(a_listener_of_no_use_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
