#include <sys/resource.h>

#include "common/clock.h"
#include "worker/habit.h"

#define AVERAGE_US 100000 /* one slower counts as this in the average */
#define FAST_US    300    /* for a handler that waits for others */
#define COMPUTE_US 1000   /* for one that computes all the time */
#define BRISK_US   16

void
habit_init(struct habit *h)
{
	atomic_init(&h->average_us, 0);
	atomic_init(&h->waits, HABIT_ALL);
}

unsigned
habit_average_us(const struct habit *h)
{
	return atomic_load_explicit(&h->average_us, memory_order_relaxed);
}

/* How often this thread went to sleep: nobody else on the machine can make that
 * more, as they can the time it took. */
static long
sleeps(void)
{
	struct rusage u;

	return getrusage(RUSAGE_THREAD, &u) == 0 ? u.ru_nvcsw : 0;
}

/* -1: this one is not worth the call. */
long
habit_begin(const struct habit *h)
{
	return habit_average_us(h) > FAST_US ? sleeps() : -1;
}

/* An eighth of the way. */
static void
move(_Atomic unsigned *average, unsigned to)
{
	unsigned from = atomic_load_explicit(average, memory_order_relaxed);

	from =
	    to > from ? from + (to - from + 7) / 8 : from - (from - to + 7) / 8;
	atomic_store_explicit(average, from, memory_order_relaxed);
}

void
habit_note(struct habit *h, long begun, uint64_t ns)
{
	uint64_t us = ns / NS_PER_US;

	if (begun >= 0)
		move(&h->waits, sleeps() != begun ? HABIT_ALL : 0);
	move(&h->average_us, us > AVERAGE_US ? AVERAGE_US : (unsigned)us);
}

bool
habit_is_fast(const struct habit *h)
{
	unsigned us = habit_average_us(h);

	return us <= FAST_US ||
	    (us <= COMPUTE_US &&
		atomic_load_explicit(&h->waits, memory_order_relaxed) <
		    HABIT_ALL / 4);
}

bool
habit_is_brisk(const struct habit *h)
{
	return habit_average_us(h) <= BRISK_US;
}
