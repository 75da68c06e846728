/* How often the kernel killed for want of memory, as our cgroup counts it. */
#ifndef MASTER_OOM_H
#define MASTER_OOM_H

#include <stdint.h>

/* Where the kernel tells; a test has its own. */
struct oom_source {
	const char *self;      /* /proc/self/cgroup */
	const char *hierarchy; /* /sys/fs/cgroup */
};

/* So far; 0 where there is no such count. */
uint64_t oom_kills(void);
uint64_t oom_kills_from(const struct oom_source *);

#endif
