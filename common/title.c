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
/* What was there; argv and environ point here now. */
static char *copy;

/* The end of the strings that follow without a gap, from `end` on. */
static char *
end_of(char *const *strings, char *end)
{
	for (; *strings != NULL; strings++)
		if (*strings == end)
			end += strlen(end) + 1;
	return end;
}

static void
point_to_copy(char **strings)
{
	for (; *strings != NULL; strings++)
		if (*strings >= area && *strings < area + area_bytes)
			*strings = copy + (*strings - area);
}

void
title_init(int argc, char **argv)
{
	if (argc == 0 || copy != NULL)
		return;
	area = argv[0];
	area_bytes = (size_t)(end_of(environ, end_of(argv, area)) - area);
	copy = area_bytes > 0 ? malloc(area_bytes) : NULL;
	if (copy == NULL)
		return; /* no titles, then */
	memcpy(copy, area, area_bytes);
	point_to_copy(argv);
	point_to_copy(environ);
	program_invocation_name = argv[0];
}

void
title_set(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (copy == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	memset(area, 0, area_bytes);
	snprintf(area, area_bytes, "prefork: %s", text);
}
