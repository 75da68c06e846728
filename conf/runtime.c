#include "conf/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/settings.h"

static void
default_dir(char *path, size_t path_bytes)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes it */
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	uid_t uid = geteuid();

	if (uid == 0)
		snprintf(path, path_bytes, "/run/prefork");
	else if (xdg != NULL && xdg[0] == '/')
		snprintf(path, path_bytes, "%s/prefork", xdg);
	else
		snprintf(path, path_bytes, "/tmp/prefork-%u", (unsigned)uid);
}

void
runtime_dir(const struct settings *s, char *path, size_t path_bytes)
{
	if (s == NULL || s->runtime_dir[0] == '\0')
		default_dir(path, path_bytes);
	else
		snprintf(path, path_bytes, "%s", s->runtime_dir);
}

bool
runtime_control(const struct settings *s, char *path, size_t path_bytes)
{
	static const char name[] = "/prefork.ctl";
	size_t n;

	if (s != NULL && s->control[0] != '\0') {
		snprintf(path, path_bytes, "%s", s->control);
		return strcmp(s->control, "off") != 0;
	}
	runtime_dir(s, path, path_bytes);
	n = strlen(path);
	if (path_bytes - n > sizeof name)
		memcpy(path + n, name, sizeof name);
	return true;
}

bool
runtime_is_default(const struct settings *s)
{
	return s->runtime_dir[0] == '\0' && s->control[0] == '\0';
}
