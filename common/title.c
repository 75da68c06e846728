#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/title.h"

/* The bytes of argv and environ, which the kernel shows as the command line. */
static char *area;
static size_t area_bytes;
/* Keeps the first copy of environ reachable when setenv() makes another. */
static char **own_environ;

/* Grows the area over the strings that follow it without a gap.  Each is
 * replaced by a copy; -1 when memory is short. */
static int
take_over(char **strings, char **copies, size_t n, char **end)
{
	for (size_t i = 0; i < n; i++) {
		char *s = strings[i];

		copies[i] = strdup(s);
		if (copies[i] == NULL)
			return -1;
		if (s == *end)
			*end = s + strlen(s) + 1;
	}
	return 0;
}

void
title_init(int argc, char **argv)
{
	size_t n_env = 0;
	char *end = argc > 0 ? argv[0] : NULL;

	if (end == NULL)
		return;
	while (environ[n_env] != NULL)
		n_env++;
	own_environ = calloc(n_env + 1, sizeof *own_environ);
	if (own_environ == NULL)
		return;
	area = argv[0];
	if (take_over(argv, argv, (size_t)argc, &end) < 0 ||
	    take_over(environ, own_environ, n_env, &end) < 0) {
		area = NULL; /* no titles; what was copied stays usable */
		return;
	}
	environ = own_environ;
	program_invocation_name = argv[0];
	area_bytes = (size_t)(end - area);
}

void
title_set(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (area == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	memset(area, 0, area_bytes);
	snprintf(area, area_bytes, "prefork: %s", text);
}
