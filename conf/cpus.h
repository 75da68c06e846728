/* How many CPUs this process may use: affinity and cgroup quota. */
#ifndef CONF_CPUS_H
#define CONF_CPUS_H

/* Where the kernel tells; a test has its own. */
struct cpus_source {
	unsigned affinity;     /* CPUs of the affinity mask */
	const char *self;      /* /proc/self/cgroup */
	const char *hierarchy; /* /sys/fs/cgroup */
};

/* At least 1. */
unsigned cpus_available(void);
/* The same from given places; quotas of 1.5 CPUs count as 2. */
unsigned cpus_from(const struct cpus_source *);

#endif
