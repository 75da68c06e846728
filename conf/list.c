#include "conf/list.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NAMED_BYTES 100 /* of a member, which may be anything */

static const char *
name_member(const char *member, size_t n, const char *why)
{
	static char text[NAMED_BYTES + 128];
	int shown = n < NAMED_BYTES ? (int)n : NAMED_BYTES;

	snprintf(text, sizeof text, "at %.*s%s%s", shown, member,
	    *why != '\0' ? ": " : "", why);
	return text;
}

const char *
list_parse(const char *text,
    const char *(*add)(void *arg, const char *member, size_t n), void *arg)
{
	const char *member = text, *why = NULL;

	for (bool more = true; more && why == NULL;) {
		size_t whole, n;

		member += strspn(member, " \t");
		n = whole = strcspn(member, ",");
		more = member[whole] == ',';
		while (n > 0 && strchr(" \t", member[n - 1]) != NULL)
			n--;
		why = add(arg, member, n);
		if (why != NULL && n > 0 && n < strlen(text))
			why = name_member(member, n, why);
		member += whole + more;
	}
	return why;
}
