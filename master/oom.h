/* How often the kernel killed for want of memory, as our cgroup counts it. */
#ifndef MASTER_OOM_H
#define MASTER_OOM_H

#include <stdbool.h>
#include <stdint.h>

#include "master/supervisor.h"

/* Kills that were counted and not yet explained by a worker that died of
 * SIGKILL.  The kernel does not tell whom it killed: an app's own processes are
 * in our cgroup, too, and whatever else runs in a container.  We look when a
 * worker ends and when watch.c looks, so such a kill may be taken for ours if
 * somebody kills a worker before the next look: the log says how it knows. */
struct oom {
	uint64_t count;       /* when looked at last */
	uint64_t unexplained; /* lately */
	msec_t at;            /* of the last rise */
};

/* PURE: the count is so high now. */
void oom_look(struct oom *, uint64_t count, msec_t now);
/* PURE: a child was killed by SIGKILL, not by us.  Was one counted for it? */
bool oom_explains(struct oom *);

/* Where the kernel tells; a test has its own. */
struct oom_source {
	const char *self;      /* /proc/self/cgroup */
	const char *hierarchy; /* /sys/fs/cgroup */
};

/* So far, not counting groups within ours where the kernel can tell them
 * apart; 0 where there is no such count. */
uint64_t oom_kills(void);
uint64_t oom_kills_from(const struct oom_source *);

#endif
