#include "conf/ini.h"

#include <string.h>

/* May a line end in the comma before p and the next one begin behind it? */
static bool
may_break(const char *p)
{
	return p[0] == ' ' && strchr(" \t;#", p[1]) == NULL;
}

/* How many bytes of the text a line of so many has; 0: it has no part that
 * fits. */
static size_t
part(const char *text, size_t room)
{
	size_t n = strlen(text), fits = 0;

	if (n <= room)
		return n;
	for (size_t i = 1; i <= room; i++)
		if (text[i - 1] == ',' && may_break(text + i))
			fits = i;
	return fits;
}

static size_t
first_part(const char *key, const char *value)
{
	return part(value, INI_LINE_BYTES - strlen(key) - strlen("="));
}

static size_t
next_part(const char *value)
{
	return part(value, INI_LINE_BYTES - strlen("\t"));
}

bool
ini_fits(const char *key, const char *value)
{
	const char *p = value + first_part(key, value);
	size_t n;

	if (strlen(value) > INI_VALUE_BYTES)
		return false;
	for (; *p != '\0' && p > value; p += 1 + n) {
		n = next_part(p + 1);
		if (n == 0)
			return false;
	}
	return *p == '\0';
}

void
ini_write(const char *key, const char *value, FILE *out)
{
	size_t n = first_part(key, value);
	bool wide = strlen(key) + strlen(" = ") + n <= INI_LINE_BYTES;

	fprintf(out, "%s%s%.*s\n", key, wide ? " = " : "=", (int)n, value);
	for (value += n; *value != '\0'; value += 1 + n) {
		n = next_part(value + 1);
		fprintf(out, "\t%.*s\n", (int)n, value + 1);
	}
}
