/* PURE: does a worker's loop still turn?  An idle one rests in the kernel, so
 * before it is judged it is poked, and has as long again to answer. */
#ifndef MASTER_STALL_H
#define MASTER_STALL_H

#include <stdbool.h>

#include "master/supervisor.h"

/* What is remembered of a worker; zeroed at first. */
struct stall {
	msec_t poked; /* 0: it owes no answer */
	msec_t due;   /* when it was to be looked at again */
	bool stalled;
};

enum stall_verdict {
	STALL_NOTHING,
	STALL_POKE,    /* make its loop turn */
	STALL_STALLED, /* it has not turned for the timeout */
	STALL_REVIVED, /* it was stalled and turns again */
};

/* Its loop turned last at heartbeat.  stall->due says when to ask next. */
enum stall_verdict stall_judge(struct stall *, msec_t heartbeat, msec_t now,
    msec_t timeout);

#endif
