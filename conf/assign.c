#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "conf/loading.h"
#include "conf/suggest.h"
#include "conf/table.h"
#include "conf/types.h"

#define PAIRS_MAX    256
#define PAIR_KEY_MAX 64

/* ---- a key that is not in the table ------------------------------------- */

static const char *
shown_section(const struct setting *s)
{
	return setting_is_app(s) ? "app:NAME" : s->section;
}

/* "; did you mean X?" or "; it belongs to [http]", if there is such a one. */
static void
write_hint(const char *section, const char *key, FILE *out)
{
	struct suggestion here = { .name = NULL }, there = { .name = NULL };
	const char *home = NULL;

	for (int i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);
		const char *before = there.name;

		if (section != NULL && strcmp(s->section, section) == 0) {
			suggest(&here, key, s->key);
			continue;
		}
		suggest(&there, key, s->key);
		if (there.name != before)
			home = shown_section(s);
	}
	if (there.name != NULL && there.distance == 0)
		fprintf(out, "; it belongs to [%s]", home);
	else if (here.name != NULL)
		fprintf(out, "; did you mean %s?", here.name);
	else if (there.name != NULL)
		fprintf(out, "; did you mean %s of [%s]?", there.name, home);
}

static void
tell_unknown(struct loading *l, const struct place *p,
    const struct assignment *a, const char *section)
{
	FILE *out = mistake_begin_value(l, p, a);

	if (*a->section == '\0')
		fputs("stands before any [section]", out);
	else
		fputs("no such setting", out);
	write_hint(section, a->key, out);
	mistake_end(l, out);
}

/* ---- values -------------------------------------------------------------- */

/* NULL, or why the text could not stand in a file. */
static const char *
check_text(const char *value)
{
	for (const char *p = value; *p != '\0'; p++) {
		if ((iscntrl((unsigned char)*p) && *p != '\t'))
			return "has a control character";
		if (*p == ';' && (p == value || isblank((unsigned char)p[-1])))
			return "has a ; after a space, which begins a comment";
	}
	return NULL;
}

static void
tell_value(struct loading *l, const struct place *p, const struct assignment *a,
    const char *why)
{
	FILE *out = mistake_begin_value(l, p, a);

	fputs(why, out);
	mistake_end(l, out);
}

static void
tell_parse(struct loading *l, const struct place *p, const struct assignment *a,
    const struct setting *s, const char *why)
{
	FILE *out = mistake_begin_value(l, p, a);

	if (*why != '\0')
		fprintf(out, "%s; ", why);
	fputs("must be ", out);
	s->type->describe(s, out);
	mistake_end(l, out);
}

/* Takes note of a new value for *o; false: the file has given it already. */
static bool
claim(struct loading *l, const struct place *p, const struct assignment *a,
    struct origin *o)
{
	if (o->kind == ORIGIN_FILE && p->origin.kind == ORIGIN_FILE) {
		mistake(l, p, "[%s] %s: given twice, first in line %u",
		    a->section, a->key, o->line);
		return false;
	}
	*o = p->origin;
	return true;
}

/* ---- env.NAME and option.NAME -------------------------------------------- */

struct pair_list {
	const char *prefix;
	struct pair **at;
	size_t *n;
};

static struct pair_list
pair_list_of(struct loading *l, struct app_settings *app)
{
	if (app != NULL)
		return (struct pair_list){ "option.", &app->options,
			&app->n_options };
	return (struct pair_list){ "env.", &l->st->env, &l->st->n_env };
}

static const char *
check_pair_key(const struct pair_list *list, const char *key)
{
	bool env = strcmp(list->prefix, "env.") == 0;
	size_t n = strlen(key);

	if (n == 0 || n > PAIR_KEY_MAX)
		return "the name must have 1 to 64 letters";
	if (env && isdigit((unsigned char)*key))
		return "the name begins with a digit";
	for (size_t i = 0; i < n; i++) {
		int c = (unsigned char)key[i];

		if (isalnum(c) || c == '_' || (!env && (c == '-' || c == '.')))
			continue;
		return env ? "the name may have letters, digits and _ only" :
			     "the name may have letters, digits, _, - and . "
			     "only";
	}
	return NULL;
}

/* The pair with this key, made if need be; NULL: no room, *why says which. */
static struct pair *
pair_get(struct pair_list *list, const char *key, const char **why)
{
	struct pair *more;

	for (size_t i = 0; i < *list->n; i++)
		if (strcmp((*list->at)[i].key, key) == 0)
			return &(*list->at)[i];
	*why = "more than 256 of them";
	if (*list->n == PAIRS_MAX)
		return NULL;
	*why = "out of memory";
	more = realloc(*list->at, (*list->n + 1) * sizeof *more);
	if (more == NULL)
		return NULL;
	*list->at = more;
	more += *list->n;
	*more = (struct pair){ .key = strdup(key), .value = NULL };
	if (more->key == NULL)
		return NULL;
	(*list->n)++;
	*why = NULL;
	return more;
}

static void
assign_pair(struct loading *l, const struct place *p,
    const struct assignment *a, struct pair_list *list)
{
	const char *key = a->key + strlen(list->prefix);
	const char *why = check_pair_key(list, key);
	struct pair *pair = NULL;
	char *value;

	if (why == NULL)
		pair = pair_get(list, key, &why);
	if (pair == NULL) {
		tell_value(l, p, a, why);
		return;
	}
	if (!claim(l, p, a, &pair->origin))
		return;
	value = strdup(a->value);
	if (value == NULL)
		tell_value(l, p, a, "out of memory");
	free(pair->value);
	pair->value = value;
}

/* ---- assign -------------------------------------------------------------- */

static void
assign_row(struct loading *l, const struct place *p, const struct assignment *a,
    struct app_settings *app, const struct setting *s)
{
	struct origin *origins = app != NULL ? app->origins : l->st->origins;
	void *base = app != NULL ? (void *)app : (void *)l->st;
	const char *why;

	if (!claim(l, p, a, &origins[s->row]))
		return;
	why = setting_parse(base, s, a->value);
	if (why != NULL)
		tell_parse(l, p, a, s, why);
}

void
assign(struct loading *l, const struct place *p, const struct assignment *a)
{
	const char *section = section_known(a->section), *why;
	const char *name = section_app(a->section);
	struct app_settings *app = name == NULL ? NULL : app_find(l->st, name);
	struct pair_list pairs = pair_list_of(l, app);
	const struct setting *s = NULL;
	bool takes_pairs = app != NULL || strcmp(a->section, "server") == 0;

	why = check_text(a->value);
	if (why != NULL) {
		tell_value(l, p, a, why);
		return;
	}
	if (takes_pairs &&
	    strncmp(a->key, pairs.prefix, strlen(pairs.prefix)) == 0) {
		assign_pair(l, p, a, &pairs);
		return;
	}
	if (section != NULL)
		s = setting_find(section, a->key);
	if (s != NULL)
		assign_row(l, p, a, app, s);
	else
		tell_unknown(l, p, a, section);
}
