#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "conf/settings.h"
#include "worker/sandbox.h"
#include "worker/sandbox_parts.h"

int
sandbox_check(const struct settings *s, char *err, size_t err_size)
{
	if (!s->sandbox || sandbox_files_check() == 0)
		return 0;
	snprintf(err, err_size,
	    "server.sandbox = yes: the kernel does not offer Landlock: %s "
	    "(Linux 5.13 or later has it, unless a container forbids it)",
	    strerrordesc_np(errno));
	return -1;
}

/* Landlock counts for the thread that asks for it and those it makes: one that
 * exists already would be left out. */
static unsigned
count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	const struct dirent *d;
	unsigned n = 0;

	if (dir == NULL)
		return 0;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): a directory of our own */
	while ((d = readdir(dir)) != NULL)
		n += d->d_name[0] != '.';
	closedir(dir);
	return n;
}

static int
failed(const char *what, char *err, size_t err_size)
{
	snprintf(err, err_size, "server.sandbox = yes: %s: %s", what,
	    strerrordesc_np(errno));
	return -1;
}

int
sandbox_enter(const struct settings *s, char *err, size_t err_size)
{
	const char *path = NULL;

	if (!s->sandbox)
		return 0;
	if (sandbox_check(s, err, err_size) < 0)
		return -1;
	if (count_threads() != 1) {
		snprintf(err, err_size,
		    "server.sandbox = yes: an application has started threads "
		    "before it had a request, which a sandbox cannot hold");
		return -1;
	}
	tzset(); /* the access log: reads a file */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return failed("no_new_privs", err, err_size);
	if (sandbox_files(s, &path) < 0)
		return failed(path != NULL ? path : "landlock", err, err_size);
	if (sandbox_calls() < 0)
		return failed("seccomp", err, err_size);
	return 0;
}
