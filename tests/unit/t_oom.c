/* The count of out-of-memory kills, from trees as kernels lay them out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "master/oom.h"

static char root[] = "/tmp/t_oom_XXXXXX";
static const char *const dirs[] = { "fs", "fs/pod", "fs/memory",
	"fs/memory/pod" };

static void
write_file(const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", root, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
remove_file(const char *name)
{
	char path[200];

	snprintf(path, sizeof path, "%s/%s", root, name);
	assert_int_equal(unlink(path), 0);
}

static void
assert_kills(const char *self, const char *name, const char *text,
    uint64_t want)
{
	char self_path[200], fs[200];

	snprintf(self_path, sizeof self_path, "%s/self", root);
	snprintf(fs, sizeof fs, "%s/fs", root);
	write_file("self", self);
	write_file(name, text);
	assert_int_equal(oom_kills_from(&(struct oom_source){ .self = self_path,
			     .hierarchy = fs }),
	    want);
	remove_file(name);
	remove_file("self");
}

#define EVENTS "low 0\nhigh 9\nmax 8\noom 7\noom_kill 3\noom_group_kill 1\n"
#define V1     "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"

static void
it_is_read_from_the_group_of_either_version(void **state)
{
	(void)state;
	assert_kills("0::/pod\n", "fs/pod/memory.events", EVENTS, 3);
	assert_kills("9:cpu:/\n4:memory:/pod\n0::/\n",
	    "fs/memory/pod/memory.oom_control", V1, 5);
}

static void
a_container_that_does_not_see_its_path_reads_the_root(void **state)
{
	(void)state;
	assert_kills("0::/outer/pod\n", "fs/memory.events", EVENTS, 3);
	assert_kills("4:memory:/outer\n", "fs/memory/memory.oom_control", V1,
	    5);
}

static void
where_there_is_no_count_it_is_0(void **state)
{
	const struct oom_source nowhere = { "/nonexistent", "/nonexistent" };

	(void)state;
	assert_int_equal(oom_kills_from(&nowhere), 0);
	assert_kills("0::/pod\n", "fs/pod/memory.events", "oom 7\n", 0);
	assert_kills("0::/pod\n", "fs/pod/memory.events", "oom_kill x\n", 0);
	assert_kills("no cgroup\n\n4:memory\n", "fs/memory.events", EVENTS, 0);
	assert_kills("4:cpu,memory_x:/pod\n", "fs/memory.events", EVENTS, 0);
}

static void
groups_within_ours_are_left_out_where_that_can_be_told(void **state)
{
	(void)state;
	write_file("fs/pod/memory.events.local", "oom_kill 2\n");
	assert_kills("0::/pod\n", "fs/pod/memory.events", EVENTS, 2);
	remove_file("fs/pod/memory.events.local");
}

static void
one_kill_explains_one_death(void **state)
{
	struct oom o = { .count = 7 };

	(void)state;
	oom_look(&o, 7, 100);
	assert_false(oom_explains(&o));
	oom_look(&o, 9, 200); /* two at once, reaped one after the other */
	assert_true(oom_explains(&o));
	oom_look(&o, 9, 210);
	assert_true(oom_explains(&o));
	assert_false(oom_explains(&o));
	oom_look(&o, 10, 300);
	assert_true(oom_explains(&o));
}

static void
a_kill_of_long_ago_explains_nothing(void **state)
{
	struct oom o = { .count = 0 };

	(void)state;
	oom_look(&o, 1, 1000);
	oom_look(&o, 1, 6000);
	assert_true(oom_explains(&o)); /* still fresh */
	oom_look(&o, 2, 7000);
	oom_look(&o, 2, 12001);
	assert_false(oom_explains(&o));
	oom_look(&o, 0, 13000); /* another group */
	assert_false(oom_explains(&o));
}

static void
this_machine_answers(void **state)
{
	(void)state;
	assert_true(oom_kills() < UINT64_MAX);
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
	for (size_t i = sizeof dirs / sizeof dirs[0]; i > 0; i--) {
		snprintf(path, sizeof path, "%s/%s", root, dirs[i - 1]);
		if (rmdir(path) < 0)
			return -1;
	}
	return rmdir(root);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_read_from_the_group_of_either_version),
		cmocka_unit_test(
		    a_container_that_does_not_see_its_path_reads_the_root),
		cmocka_unit_test(where_there_is_no_count_it_is_0),
		cmocka_unit_test(
		    groups_within_ours_are_left_out_where_that_can_be_told),
		cmocka_unit_test(one_kill_explains_one_death),
		cmocka_unit_test(a_kill_of_long_ago_explains_nothing),
		cmocka_unit_test(this_machine_answers),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
