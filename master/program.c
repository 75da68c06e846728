#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/load.h"
#include "conf/settings.h"
#include "master/program.h"
#include "worker/worker.h"

/* What program_find() found, for the program that takes its place. */
#define VARIABLE "PREFORK_PROGRAM"

static char *told; /* NULL: we were called ourselves */

void
program_take(void)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	const char *value = getenv(VARIABLE);

	if (value != NULL)
		told = strdup(value);
	unsetenv(VARIABLE); /* NOLINT(concurrency-mt-unsafe): one thread */
	prctl(PR_SET_NAME, "prefork");
}

/* ---- as it was called ---------------------------------------------------- */

static bool
is_what_we_run(const char *path)
{
	struct stat us, there;

	return stat("/proc/self/exe", &us) == 0 && stat(path, &there) == 0 &&
	    us.st_dev == there.st_dev && us.st_ino == there.st_ino;
}

/* directory/name as an absolute path, if that is what we run. */
static char *
find_in(const char *directory, size_t n, const char *name)
{
	char *cwd = NULL, *path = NULL;
	bool relative = n == 0 || directory[0] != '/';

	if (relative && (cwd = getcwd(NULL, 0)) == NULL)
		return NULL;
	if (asprintf(&path, "%s%s%.*s%s%s", relative ? cwd : "",
		relative ? "/" : "", (int)n, directory, n > 0 ? "/" : "",
		name) < 0)
		path = NULL;
	free(cwd);
	if (path != NULL && is_what_we_run(path))
		return path;
	free(path);
	return NULL;
}

static char *
find_by_name(const char *name)
{
	const char *slash = strrchr(name, '/'), *path;
	char *found = NULL;
	size_t n;

	if (slash != NULL)
		return find_in(name, (size_t)(slash - name), slash + 1);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	path = getenv("PATH");
	while (path != NULL && found == NULL) {
		n = strcspn(path, ":");
		found = find_in(path, n, name);
		path = path[n] == ':' ? path + n + 1 : NULL;
	}
	return found;
}

char *
program_find(void)
{
	const char *name = program_invocation_name;
	char *found = told != NULL ? strdup(told) : find_by_name(name);

	if (found == NULL)
		found = realpath("/proc/self/exe", NULL);
	if (found == NULL && name[0] == '/')
		found = strdup(name); /* replaced since, like in an upgrade */
	return found;
}

/* ---- another one in its place -------------------------------------------- */

/* Mistakes are told by whoever goes on. */
static struct settings *
load_quietly(const struct settings_source *source)
{
	FILE *nowhere = fopen("/dev/null", "we");
	struct settings *s =
	    nowhere != NULL ? settings_load(source, nowhere) : NULL;

	if (nowhere != NULL)
		fclose(nowhere);
	return s;
}

void
program_change(const struct settings_source *source, char **argv)
{
	struct settings *s = told == NULL ? load_quietly(source) : NULL;
	char path[PATH_MAX], *ours;
	bool found = s != NULL && worker_program(s, path);

	settings_free(&s);
	ours = found ? program_find() : NULL;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	if (ours != NULL && setenv(VARIABLE, ours, 1) == 0) {
		argv[0] = path; /* what stacks will name */
		execv(path, argv);
		argv[0] = program_invocation_name;
		unsetenv(VARIABLE); /* NOLINT(concurrency-mt-unsafe) */
	}
	free(ours);
}
