/* The supervisor when memory is short, and when its caller has a bug. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/assert.h"
#include "master/supervisor_state.h"

#define SLOTS 4

/* The linker puts these in the place of what they are named after. */
void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
_Noreturn void __wrap_pf_assert_failed(const char *cond, const char *file,
    int line);

static unsigned fails_at; /* this allocation from now on; 0: none */

void *
__wrap_calloc(size_t n, size_t bytes)
{
	if (fails_at > 0 && --fails_at == 0)
		return NULL;
	return __real_calloc(n, bytes);
}

_Noreturn void
__wrap_pf_assert_failed(const char *cond, const char *file, int line)
{
	mock_assert(0, cond, file, line);
	abort(); /* not inside of expect_assert_failure() */
}

static void
without_memory_there_is_none(void **state)
{
	unsigned allocations = 0;

	(void)state;
	for (;;) {
		struct sup *s;

		fails_at = allocations + 1;
		s = sup_new(SLOTS);
		if (s != NULL) {
			fails_at = 0;
			sup_free(&s);
			break;
		}
		allocations++;
	}
	assert_int_equal(allocations, 3); /* each has failed once */
}

static void
feed(struct sup *s, enum sup_event_kind kind, unsigned slot, unsigned want)
{
	const struct sup_event ev = { .kind = kind,
		.slot = slot,
		.generation = 1,
		.conf = { .want = want, .boot_timeout = 1000 } };

	sup_step(s, &ev, 1);
}

static void
a_slot_that_there_is_not_is_a_bug(void **state)
{
	struct sup *s = sup_new(SLOTS);

	(void)state;
	feed(s, SUP_READY, SLOTS - 1, 0);
	expect_assert_failure(feed(s, SUP_READY, SLOTS, 0));
	sup_free(&s);
}

static void
a_number_of_workers_out_of_bounds_is_a_bug(void **state)
{
	struct sup *s = sup_new(SLOTS);

	(void)state;
	feed(s, SUP_SCALE, 0, 1);
	feed(s, SUP_SCALE, 0, SUP_WORKERS_MAX);
	expect_assert_failure(feed(s, SUP_SCALE, 0, 0));
	expect_assert_failure(feed(s, SUP_SCALE, 0, SUP_WORKERS_MAX + 1));
	sup_free(&s);
}

/* No event makes one; that there is room for every plan is our promise. */
static void
a_plan_beyond_its_room_is_a_bug(void **state)
{
	struct sup *s = sup_new(SLOTS);

	(void)state;
	s->max_act = 1;
	feed(s, SUP_START, 0, 1);
	feed(s, SUP_MORE, 0, 0); /* an action fits */
	expect_assert_failure(feed(s, SUP_SCALE, 0, SLOTS));
	sup_free(&s);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(without_memory_there_is_none),
	cmocka_unit_test(a_slot_that_there_is_not_is_a_bug),
	cmocka_unit_test(a_number_of_workers_out_of_bounds_is_a_bug),
	cmocka_unit_test(a_plan_beyond_its_room_is_a_bug),
};

int
main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
