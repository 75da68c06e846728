#include <stdlib.h>
#include <string.h>

#include "conf/loading.h"
#include "conf/table.h"
#include "conf/types.h"

#define APPS_MAX       256
#define NAME_MAX_BYTES 32

struct app_settings *
app_find(const struct settings *st, const char *name)
{
	for (size_t i = 0; i < st->n_apps; i++)
		if (strcmp(st->apps[i].name, name) == 0)
			return &st->apps[i];
	return NULL;
}

static bool
name_is_good(const char *name)
{
	size_t n = strspn(name,
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

	return n > 0 && n <= NAME_MAX_BYTES && name[n] == '\0';
}

/* NULL: out of memory. */
static struct app_settings *
app_append(struct settings *st, const char *name)
{
	struct app_settings *app =
	    realloc(st->apps, (st->n_apps + 1) * sizeof *app);

	if (app == NULL)
		return NULL;
	st->apps = app;
	app += st->n_apps;
	*app = (struct app_settings){ .name = strdup(name) };
	if (app->name == NULL)
		return NULL;
	st->n_apps++;
	return app;
}

struct app_settings *
app_add(struct loading *l, const struct place *p, const char *section)
{
	const char *name = section_app(section);
	struct app_settings *app = NULL;

	if (!name_is_good(name)) {
		mistake(l, p,
		    "[%s]: the name of an application has 1 to 32 letters, "
		    "digits, _ or -",
		    section);
		return NULL;
	}
	if (l->st->n_apps == APPS_MAX) {
		mistake(l, p, "[%s]: more than %d applications", section,
		    APPS_MAX);
		return NULL;
	}
	app = app_append(l->st, name);
	if (app == NULL)
		mistake(l, p, "[%s]: out of memory", section);
	else
		app->origin = p->origin;
	return app;
}

/* ---- when all sources are read ------------------------------------------- */

static void
tell_missing(struct loading *l, const struct app_settings *app,
    const struct setting *s)
{
	struct place p = { .origin = app->origin };
	FILE *out = mistake_begin(l, &p);

	fprintf(out, "[" APP_PREFIX "%s]: has no %s; must be ", app->name,
	    s->key);
	s->type->describe(s, out);
	mistake_end(l, out);
}

/* Fills a row that no source has given. */
static void
fill_row(struct loading *l, struct app_settings *app, const struct setting *s)
{
	struct origin *o = &app->origins[s->row];
	const char *why = NULL;

	o->kind = ORIGIN_DEFAULT;
	if (s->row == ROW_app_request_timeout) {
		o->kind = ORIGIN_SERVER;
		app->request_timeout_ms = l->st->request_timeout_ms;
	} else if (s->row == ROW_app_max_body) {
		o->kind = ORIGIN_SERVER;
		app->max_body = l->st->max_body;
	} else if (s->row == ROW_app_min_rate) {
		o->kind = ORIGIN_SERVER;
		app->min_rate = l->st->min_rate;
	} else {
		why = setting_parse(app, s, s->def);
	}
	if (why != NULL) /* the empty default of a setting that is required */
		tell_missing(l, app, s);
}

static void
finish_app(struct loading *l, struct app_settings *app)
{
	for (int i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);

		if (setting_is_app(s) && app->origins[i].kind == ORIGIN_NONE)
			fill_row(l, app, s);
	}
}

/* What only an application in Python has. */
static void
check_python(struct loading *l, const struct app_settings *app)
{
	const struct {
		enum setting_row row;
		const char *value;
	} given[] = { { ROW_app_venv, app->venv },
		{ ROW_app_pythonpath, app->pythonpath } };

	for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
		struct place p = { .origin = app->origins[given[i].row] };

		if (app->type != APP_WSGI && given[i].value != NULL &&
		    given[i].value[0] != '\0')
			mistake(l, &p,
			    "[" APP_PREFIX "%s] %s: is for type = wsgi only",
			    app->name, setting_at(given[i].row)->key);
	}
}

/* Python opens files, and more, for as long as it runs. */
static void
check_sandbox(struct loading *l, const struct app_settings *app)
{
	struct place p = { .origin = l->st->origins[ROW_server_sandbox] };

	if (l->st->sandbox && app->type == APP_WSGI)
		mistake(l, &p,
		    "[server] sandbox = yes: not with [" APP_PREFIX
		    "%s], which is type = wsgi",
		    app->name);
}

/* Fields of an app with a mistake may be NULL. */
static bool
same_text(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static void
check_conflict(struct loading *l, size_t i)
{
	const struct app_settings *app = &l->st->apps[i], *other;
	struct place p = { .origin = app->origins[ROW_app_mount] };

	if (p.origin.kind == ORIGIN_DEFAULT)
		p.origin = app->origin;
	if (p.origin.kind == ORIGIN_TARGET)
		p.text = app->target;
	for (size_t k = 0; k < i; k++) {
		other = &l->st->apps[k];
		if (!same_text(app->mount, other->mount) ||
		    !same_text(app->host, other->host))
			continue;
		mistake(l, &p,
		    "[" APP_PREFIX "%s] mount = %s: [" APP_PREFIX
		    "%s] has the same mount and host",
		    app->name, *app->mount != '\0' ? app->mount : "/",
		    other->name);
		return;
	}
}

void
apps_finish(struct loading *l)
{
	struct place p = { .origin = { .kind = l->file != NULL ?
				   ORIGIN_FILE :
				   ORIGIN_NONE } };

	for (size_t i = 0; i < l->st->n_apps; i++)
		finish_app(l, &l->st->apps[i]);
	for (size_t i = 0; i < l->st->n_apps; i++)
		check_python(l, &l->st->apps[i]);
	for (size_t i = 0; i < l->st->n_apps; i++)
		check_sandbox(l, &l->st->apps[i]);
	for (size_t i = 0; i < l->st->n_apps; i++)
		check_conflict(l, i);
	if (l->st->n_apps == 0 && l->mistakes == 0)
		mistake(l, &p,
		    "no [app:NAME] section: nothing to serve; add one with "
		    "type and target, or name a TARGET");
}
