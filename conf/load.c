#include "conf/load.h"

#include <stdlib.h>
#include <string.h>

#include "conf/bind.h"
#include "conf/cpus.h"
#include "conf/loading.h"
#include "conf/table.h"
#include "conf/types.h"

/* ---- making and freeing -------------------------------------------------- */

static void
fini_rows(void *base, bool app)
{
	for (int i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);

		if (setting_is_app(s) == app && s->type->fini != NULL)
			s->type->fini(setting_field(base, s));
	}
}

static void
free_pairs(struct pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(pairs[i].key);
		free(pairs[i].value);
	}
	free(pairs);
}

void
settings_free(struct settings **p)
{
	struct settings *st = *p;

	*p = NULL;
	if (st == NULL)
		return;
	for (size_t i = 0; i < st->n_apps; i++) {
		fini_rows(&st->apps[i], true);
		free_pairs(st->apps[i].options, st->apps[i].n_options);
		free(st->apps[i].name);
	}
	free(st->apps);
	free_pairs(st->env, st->n_env);
	fini_rows(st, false);
	free(st->file);
	free(st);
}

/* Defaults in every row; NULL: out of memory. */
static struct settings *
settings_new(const char *file)
{
	struct settings *st = calloc(1, sizeof *st);
	bool ok = st != NULL;

	if (ok && file != NULL) {
		st->file = strdup(file);
		ok = st->file != NULL;
	}
	for (int i = 0; ok && i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);

		if (setting_is_app(s))
			continue;
		st->origins[i].kind = ORIGIN_DEFAULT;
		ok = setting_parse(st, s, s->def) == NULL;
	}
	if (!ok)
		settings_free(&st);
	return st;
}

/* ---- loading ------------------------------------------------------------- */

static void
resolve_workers(struct settings *st)
{
	unsigned most = (unsigned)setting_at(ROW_server_workers)->max;

	st->workers_auto = st->workers == 0;
	if (st->workers_auto)
		st->workers = cpus_available();
	if (st->workers > most)
		st->workers = most;
}

/* A listener that is not there would be taken for one that is protected. */
static void
check_proxied(struct loading *l)
{
	const struct bind_list *some = &l->st->proxy_protocol.some;
	struct place p = { .origin = l->st->origins[ROW_proxy_protocol] };

	for (size_t i = 0; i < some->n; i++)
		if (!bind_list_has(&l->st->bind, some->at[i].spec))
			mistake(l, &p,
			    "[proxy] protocol = %s: is not among the addresses "
			    "of bind",
			    some->at[i].spec);
}

static void
load_sources(struct loading *l, const struct settings_source *src)
{
	load_environment(l, src->environment);
	if (src->file != NULL)
		load_file(l, src->stream);
	if (src->target != NULL)
		load_target(l, src->target);
	for (size_t i = 0; i < src->n_opts; i++)
		load_option(l, src->opts[i]);
	apps_finish(l);
	if (l->mistakes == 0)
		check_proxied(l);
}

struct settings *
settings_load(const struct settings_source *src, FILE *errors)
{
	struct loading l = { .st = settings_new(src->file),
		.file = src->file,
		.opts_name = src->opts_name != NULL ? src->opts_name : "-o",
		.errors = errors };

	if (l.st == NULL) {
		fputs("settings: out of memory\n", errors);
		return NULL;
	}
	load_sources(&l, src);
	resolve_workers(l.st);
	if (l.mistakes > 0)
		settings_free(&l.st);
	return l.st;
}
