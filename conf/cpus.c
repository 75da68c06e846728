/*
 * A quota may be set on any group above ours, so every level up to the root
 * of the hierarchy is read and the smallest counts:
 *   v2  HIERARCHY/PATH/cpu.max           "max 100000" or "150000 100000"
 *   v1  HIERARCHY/cpu/PATH/cpu.cfs_quota_us and cpu.cfs_period_us
 * In a container PATH may be that of the host and missing here; then the
 * levels that exist count.
 */
#include "conf/cpus.h"

#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "conf/types.h"

#define LINE_BYTES 512

static unsigned
cpus_of_quota(uint64_t quota, uint64_t period)
{
	uint64_t n;

	if (quota == 0 || period == 0)
		return UINT_MAX;
	n = quota / period + (quota % period != 0);
	return n > UINT_MAX ? UINT_MAX : (unsigned)n;
}

/* The first line of DIR/NAME; false: no such file. */
static bool
read_line(const char *dir, const char *name, char line[LINE_BYTES])
{
	char path[PATH_MAX];
	FILE *f;
	bool ok;

	if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
		return false;
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	ok = fgets(line, LINE_BYTES, f) != NULL;
	fclose(f);
	return ok;
}

static unsigned
limit_v2(const char *dir)
{
	char line[LINE_BYTES];
	const char *p = line;
	uint64_t quota, period;

	if (!read_line(dir, "cpu.max", line) ||
	    number_parse(&p, &quota) != NULL || *p != ' ')
		return UINT_MAX;
	p++;
	return number_parse(&p, &period) == NULL ?
	    cpus_of_quota(quota, period) :
	    UINT_MAX;
}

static unsigned
limit_v1(const char *dir)
{
	char quota_line[LINE_BYTES], period_line[LINE_BYTES];
	const char *q = quota_line, *p = period_line;
	uint64_t quota, period;

	if (!read_line(dir, "cpu.cfs_quota_us", quota_line) ||
	    !read_line(dir, "cpu.cfs_period_us", period_line) ||
	    number_parse(&q, &quota) != NULL || /* -1: no quota */
	    number_parse(&p, &period) != NULL)
		return UINT_MAX;
	return cpus_of_quota(quota, period);
}

/* The smallest limit of ROOT/GROUP and the groups above it. */
static unsigned
limit_upwards(const char *root, const char *group,
    unsigned (*limit)(const char *dir))
{
	char dir[PATH_MAX];
	size_t root_n = strlen(root);
	unsigned least = UINT_MAX;

	if (snprintf(dir, sizeof dir, "%s%s", root, group) >= (int)sizeof dir)
		return limit(root);
	for (char *cut = dir + strlen(dir); cut != NULL;
	     cut = strrchr(dir + root_n, '/')) {
		unsigned n;

		*cut = '\0';
		n = limit(dir);
		if (n < least)
			least = n;
	}
	return least;
}

/* Is `name` one of the comma-separated names? */
static bool
list_has(const char *list, const char *name)
{
	size_t n = strlen(name);

	while (*list != '\0') {
		size_t word = strcspn(list, ",");

		if (word == n && memcmp(list, name, n) == 0)
			return true;
		list += word;
		list += *list == ',';
	}
	return false;
}

/* A line of /proc/self/cgroup: ID:CONTROLLERS:PATH. */
static unsigned
limit_of_line(const struct cpus_source *src, char *line)
{
	char *controllers = strchr(line, ':'), *group, root[PATH_MAX];

	line[strcspn(line, "\n")] = '\0';
	group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
	if (group == NULL)
		return UINT_MAX;
	*controllers++ = '\0';
	*group++ = '\0';
	if (*controllers == '\0')
		return limit_upwards(src->hierarchy, group, limit_v2);
	if (!list_has(controllers, "cpu") ||
	    snprintf(root, sizeof root, "%s/cpu", src->hierarchy) >=
		(int)sizeof root)
		return UINT_MAX;
	return limit_upwards(root, group, limit_v1);
}

unsigned
cpus_from(const struct cpus_source *src)
{
	unsigned least = src->affinity, n;
	char line[PATH_MAX];
	FILE *f = fopen(src->self, "re");

	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		n = limit_of_line(src, line);
		if (n < least)
			least = n;
	}
	if (f != NULL)
		fclose(f);
	return least > 0 ? least : 1;
}

unsigned
cpus_available(void)
{
	static const size_t most = 1 << 16;
	struct cpus_source src = { .affinity = 1,
		.self = "/proc/self/cgroup",
		.hierarchy = "/sys/fs/cgroup" };
	cpu_set_t *set = CPU_ALLOC(most);
	size_t bytes = CPU_ALLOC_SIZE(most);

	if (set != NULL && sched_getaffinity(0, bytes, set) == 0)
		src.affinity = (unsigned)CPU_COUNT_S(bytes, set);
	CPU_FREE(set);
	return cpus_from(&src);
}
