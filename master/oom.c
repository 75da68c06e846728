#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "conf/types.h"
#include "master/oom.h"

#define LINE_BYTES 256
/* ms in which a process that was killed has been reaped */
#define LATELY 5000

void
oom_look(struct oom *o, uint64_t count, msec_t now)
{
	if (count > o->count) {
		o->unexplained += count - o->count;
		o->at = now;
	} else if (now > o->at + LATELY) {
		o->unexplained = 0;
	}
	o->count = count;
}

bool
oom_explains(struct oom *o)
{
	if (o->unexplained == 0)
		return false;
	o->unexplained--; /* one kill, one victim */
	return true;
}

/* ---- the count ----------------------------------------------------------- */

/* The number after "oom_kill " in the file; v1 and v2 spell it alike. */
static bool
read_count(const char *dir, const char *group, const char *name, uint64_t *out)
{
	static const char key[] = "oom_kill ";
	char path[PATH_MAX], line[LINE_BYTES];
	bool found = false;
	FILE *f;

	if (snprintf(path, sizeof path, "%s%s/%s", dir, group, name) >=
	    (int)sizeof path)
		return false;
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	while (!found && fgets(line, sizeof line, f) != NULL) {
		const char *p = line + sizeof key - 1;

		found = strncmp(line, key, sizeof key - 1) == 0 &&
		    number_parse(&p, out) == NULL;
	}
	fclose(f);
	return found;
}

/* In a container the group may be named from outside: then the root is it. */
static bool
count_in(const char *dir, const char *group, const char *name, uint64_t *out)
{
	return read_count(dir, group, name, out) ||
	    read_count(dir, "", name, out);
}

/* A line of /proc/self/cgroup: ID:CONTROLLERS:PATH. */
static bool
count_of_line(const struct oom_source *src, char *line, uint64_t *out)
{
	char *controllers = strchr(line, ':'), *group, dir[PATH_MAX];

	line[strcspn(line, "\n")] = '\0';
	group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
	if (group == NULL)
		return false;
	*controllers++ = '\0';
	*group++ = '\0';
	if (*controllers == '\0')
		return count_in(src->hierarchy, group, "memory.events.local",
			   out) ||
		    count_in(src->hierarchy, group, "memory.events", out);
	if (strcmp(controllers, "memory") != 0 ||
	    snprintf(dir, sizeof dir, "%s/memory", src->hierarchy) >=
		(int)sizeof dir)
		return false;
	return count_in(dir, group, "memory.oom_control", out);
}

uint64_t
oom_kills_from(const struct oom_source *src)
{
	char line[PATH_MAX];
	uint64_t count = 0;
	bool found = false;
	FILE *f = fopen(src->self, "re");

	while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
		found = count_of_line(src, line, &count);
	if (f != NULL)
		fclose(f);
	return count;
}

uint64_t
oom_kills(void)
{
	return oom_kills_from(&(struct oom_source){ .self = "/proc/self/cgroup",
	    .hierarchy = "/sys/fs/cgroup" });
}
