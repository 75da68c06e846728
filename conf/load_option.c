#include <stdlib.h>
#include <string.h>

#include "conf/loading.h"

/* Cuts blanks off both ends; returns where the rest begins. */
static char *
trim(char *p)
{
	size_t n;

	p += strspn(p, " \t");
	n = strlen(p);
	while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	p[n] = '\0';
	return p;
}

/* SECTION.KEY=VALUE; `text` is ours to cut up.  False: it is not that. */
static bool
split(char *text, struct assignment *a)
{
	char *value = strchr(text, '='), *key;

	if (value == NULL)
		return false;
	*value++ = '\0';
	key = strchr(text, '.');
	if (key == NULL)
		return false;
	*key++ = '\0';
	a->section = trim(text);
	a->key = trim(key);
	a->value = trim(value);
	return *a->section != '\0' && *a->key != '\0';
}

static void
assign_option(struct loading *l, const struct place *p,
    const struct assignment *a)
{
	const char *app = section_app(a->section);

	if (section_known(a->section) == NULL)
		section_unknown(l, p, a->section);
	else if (app == NULL || app_find(l->st, app) != NULL ||
	    app_add(l, p, a->section) != NULL)
		assign(l, p, a);
}

void
load_option(struct loading *l, const char *opt)
{
	struct place p = { .origin = { .kind = ORIGIN_OPTION }, .text = opt };
	struct assignment a = { .section = NULL };
	char *text = strdup(opt);

	if (text == NULL)
		mistake(l, &p, "out of memory");
	else if (split(text, &a))
		assign_option(l, &p, &a);
	else
		mistake(l, &p, "must be SECTION.KEY=VALUE");
	free(text);
}
