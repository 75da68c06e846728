/* Lines of the log that clients can cause: one in ten seconds of each kind,
 * with the number of those that were held back.  Pure. */
#ifndef WORKER_TOLD_H
#define WORKER_TOLD_H

#include <stdbool.h>
#include <stdint.h>

#define TOLD_EVERY_NS UINT64_C(10000000000)

struct told {
	uint64_t next_ns;
	unsigned held; /* since the last line */
};

/* May it be told now?  Then *held is how many were not. */
static inline bool
told_now(struct told *t, uint64_t now_ns, unsigned *held)
{
	if (now_ns < t->next_ns) {
		t->held++;
		return false;
	}
	*held = t->held;
	*t = (struct told){ .next_ns = now_ns + TOLD_EVERY_NS };
	return true;
}

#endif
