/* Settings from all their sources, and back to text. */
#ifndef CONF_LOAD_H
#define CONF_LOAD_H

#include <stddef.h>
#include <stdio.h>

struct app_settings;
struct settings;

/* Later ones overrule: defaults, environment, file, -o.  TARGET adds
 * [app:main], before -o.  Borrowed. */
struct settings_source {
	const char *file;        /* NULL: none */
	FILE *stream;            /* read it instead of opening file; NULL */
	const char *const *opts; /* SECTION.KEY=VALUE each */
	size_t n_opts;
	const char *opts_name; /* in mistakes; NULL: -o */
	const char *target;    /* NULL: none */
	/* NAME=VALUE each, then NULL; NULL: that of the process. */
	const char *const *environment;
};

/* NULL: every mistake has been printed to `errors`, one a line. */
struct settings *settings_load(const struct settings_source *, FILE *errors);
void settings_free(struct settings **);

/* -T: a server.ini that loads to the same settings, each with its origin. */
void settings_print(const struct settings *, FILE *);

/* As -o has them, a line each: what loads to the same settings, however long
 * they are. */
void settings_print_options(const struct settings *, FILE *);

/* The value of SECTION.KEY, or of app.KEY in this application, as -T prints it
 * but with auto resolved; the caller frees it.  NULL: no such setting, or out
 * of memory. */
char *setting_text(const struct settings *, const struct app_settings *,
    const char *name);

/* What a reload from `was` to `now` cannot change, one line each; how many. */
size_t settings_print_restart(const struct settings *was,
    const struct settings *now, FILE *);

/* Generated documents: conf/server.ini, the list of prefork.ini(5), that of
 * -h. */
void settings_print_ini(FILE *);
void settings_print_man(FILE *);
void settings_print_help(FILE *);

#endif
