#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/cpus.h"

/* A file of the tree that a test lays out, below its own directory. */
struct entry {
	const char *path, *text;
};

static char root[] = "/tmp/t_cpus_XXXXXX";
static const char *const dirs[] = { "fs", "fs/pod", "fs/pod/box", "fs/cpu",
	"fs/cpu/pod" };

static void
write_entry(const struct entry *e)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", root, e->path);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(e->text, f);
	fclose(f);
}

static void
remove_entry(const struct entry *e)
{
	char path[200];

	snprintf(path, sizeof path, "%s/%s", root, e->path);
	assert_int_equal(unlink(path), 0);
}

static void
assert_cpus(unsigned affinity, unsigned want, const struct entry *at, size_t n)
{
	char self[200], hierarchy[200];
	struct cpus_source src = { .affinity = affinity,
		.self = self,
		.hierarchy = hierarchy };
	unsigned got;

	snprintf(self, sizeof self, "%s/self", root);
	snprintf(hierarchy, sizeof hierarchy, "%s/fs", root);
	for (size_t i = 0; i < n; i++)
		write_entry(&at[i]);
	got = cpus_from(&src);
	for (size_t i = 0; i < n; i++)
		remove_entry(&at[i]);
	assert_int_equal(got, want);
}
#define ASSERT_CPUS(affinity, want, ...)                                       \
	assert_cpus(affinity, want, (const struct entry[]){ __VA_ARGS__ },     \
	    sizeof((const struct entry[]){ __VA_ARGS__ }) /                    \
		sizeof(struct entry))

static void
without_cgroups_affinity_decides_and_there_is_always_one(void **state)
{
	(void)state;
	assert_cpus(6, 6, NULL, 0);
	assert_cpus(0, 1, NULL, 0);
	assert_in_range(cpus_available(), 1, 1 << 16);
}

static void
a_quota_of_cgroup_2_limits_and_is_rounded_up(void **state)
{
	(void)state;
	ASSERT_CPUS(8, 2, { "self", "0::/pod/box\n" },
	    { "fs/pod/box/cpu.max", "150000 100000\n" });
	ASSERT_CPUS(8, 1, { "self", "0::/pod/box\n" },
	    { "fs/pod/box/cpu.max", "1000 100000\n" });
	ASSERT_CPUS(8, 8, { "self", "0::/pod/box\n" },
	    { "fs/pod/box/cpu.max", "max 100000\n" });
	ASSERT_CPUS(3, 3, { "self", "0::/pod/box\n" },
	    { "fs/pod/box/cpu.max", "900000 100000\n" });
}

static void
the_smallest_quota_on_the_way_up_counts(void **state)
{
	(void)state;
	ASSERT_CPUS(8, 2, { "self", "0::/pod/box\n" },
	    { "fs/pod/box/cpu.max", "max 100000\n" },
	    { "fs/pod/cpu.max", "200000 100000\n" },
	    { "fs/cpu.max", "400000 100000\n" });
	ASSERT_CPUS(8, 4, { "self", "0::/\n" },
	    { "fs/cpu.max", "400000 100000\n" });
	/* a container that sees the path of its host */
	ASSERT_CPUS(8, 3, { "self", "0::/host/only\n" },
	    { "fs/cpu.max", "300000 100000\n" });
}

static void
a_quota_of_cgroup_1_limits_too(void **state)
{
	(void)state;
	ASSERT_CPUS(8, 2,
	    { "self", "7:memory:/pod\n4:cpuacct,cpu:/pod\n0::/\n" },
	    { "fs/cpu/pod/cpu.cfs_quota_us", "200000\n" },
	    { "fs/cpu/pod/cpu.cfs_period_us", "100000\n" });
	ASSERT_CPUS(8, 8, { "self", "4:cpu:/pod\n" },
	    { "fs/cpu/pod/cpu.cfs_quota_us", "-1\n" },
	    { "fs/cpu/pod/cpu.cfs_period_us", "100000\n" });
	ASSERT_CPUS(8, 8, { "self", "4:cpuset:/pod\n" },
	    { "fs/cpu/pod/cpu.cfs_quota_us", "200000\n" },
	    { "fs/cpu/pod/cpu.cfs_period_us", "100000\n" });
}

static void
nonsense_is_no_limit(void **state)
{
	static const char *const lines[] = { "", "\n", "150000", "0 100000",
		"100000 0", "-5 100000", "100000 x",
		"99999999999999999999999 1" };

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		ASSERT_CPUS(8, 8, { "self", "0::/pod\n" },
		    { "fs/pod/cpu.max", lines[i] });
	ASSERT_CPUS(8, 8, { "self", "\n0\n0:\n::\n" });
}

static int
make_tree(void **state)
{
	char path[200];

	(void)state;
	if (mkdtemp(root) == NULL)
		return -1;
	for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", root, dirs[i]);
		if (mkdir(path, 0700) < 0)
			return -1;
	}
	return 0;
}

static int
remove_tree(void **state)
{
	char path[200];

	(void)state;
	for (size_t i = sizeof dirs / sizeof dirs[0]; i-- > 0;) {
		snprintf(path, sizeof path, "%s/%s", root, dirs[i]);
		if (rmdir(path) < 0)
			return -1;
	}
	return rmdir(root);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    without_cgroups_affinity_decides_and_there_is_always_one),
		cmocka_unit_test(a_quota_of_cgroup_2_limits_and_is_rounded_up),
		cmocka_unit_test(the_smallest_quota_on_the_way_up_counts),
		cmocka_unit_test(a_quota_of_cgroup_1_limits_too),
		cmocka_unit_test(nonsense_is_no_limit),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
