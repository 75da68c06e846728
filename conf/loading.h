/*
 * A load under way: settings being filled and mistakes being told, from each
 * of the sources.  Private to the files that load.
 */
#ifndef CONF_LOADING_H
#define CONF_LOADING_H

#include <stdbool.h>
#include <stdio.h>

#include "conf/settings.h"

struct setting;

struct loading {
	struct settings *st;
	const char *file; /* NULL: none */
	const char *opts_name;
	FILE *errors;
	unsigned mistakes;
	char *text; /* of the mistake being told */
	size_t text_n;
};

/* Where in which source something stands. */
struct place {
	struct origin origin;
	const char *text; /* the -o argument, the variable's value, TARGET */
};

/* mistake.c: a mistake is one line, "PLACE: " and what is written between
 * begin and end. */
FILE *mistake_begin(struct loading *, const struct place *);
void mistake_end(struct loading *, FILE *);
__attribute__((format(printf, 3, 4))) void mistake(struct loading *,
    const struct place *, const char *, ...);
/* ... of a value: names section, key and value unless the place shows them. */
struct assignment {
	const char *section, *key, *value;
};
FILE *mistake_begin_value(struct loading *, const struct place *,
    const struct assignment *);

/* assign.c: sets what `a` says, or tells why not. */
void assign(struct loading *, const struct place *, const struct assignment *);

/* section.c: the table's name for a section; NULL: there is none. */
const char *section_known(const char *name);
/* "app:shop" is "shop"; NULL: it is not the section of an application. */
const char *section_app(const char *section);
/* Tells that there is none, and which were meant. */
void section_unknown(struct loading *, const struct place *, const char *name);

/* apps.c */
struct app_settings *app_find(const struct settings *, const char *name);
/* NULL: the name is no good, or there are too many; it was told.  `section`
 * is "app:NAME". */
struct app_settings *app_add(struct loading *, const struct place *,
    const char *section);
/* When all sources are read: required ones, inherited ones, conflicts. */
void apps_finish(struct loading *);

/* load_file.c, load_option.c, load_environment.c, load_target.c */
void load_file(struct loading *, FILE *stream); /* NULL: opens l->file */
void load_option(struct loading *, const char *opt);
/* NULL: that of the process. */
void load_environment(struct loading *, const char *const *environment);
void load_target(struct loading *, const char *target);

#endif
