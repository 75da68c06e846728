/* How the handlers of an app use to behave, as far as it matters for who runs
 * them and when their answers go.  Moving averages, noted and read by any
 * thread; precision does not matter. */
#ifndef WORKER_HABIT_H
#define WORKER_HABIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct habit {
	_Atomic unsigned average_us; /* of a handler */
	/* Of those slow enough for it to matter: how many of HABIT_ALL slept.
	 */
	_Atomic unsigned waits;
};

#define HABIT_ALL 256

/* Nobody knows them yet. */
void habit_init(struct habit *);

/* Before a handler, in its thread: for habit_note(). */
long habit_begin(const struct habit *);
/* Behind it: it took so long. */
void habit_note(struct habit *, long begun, uint64_t ns);

unsigned habit_average_us(const struct habit *);
/* Fast enough for the thread that has the baton: or it leaves the processor to
 * nobody, so that nobody could use the baton meanwhile. */
bool habit_is_fast(const struct habit *);
/* So fast that a client who gets such answers has no time to fall asleep. */
bool habit_is_brisk(const struct habit *);

#endif
