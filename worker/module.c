/* Modules and the applications they serve: loading, starting, ending. */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/log.h"
#include "conf/settings.h"
#include "worker/app.h"
#include "worker/http/h1_conn.h"
#include "worker/http/static.h"
#include "worker/module_path.h"
#include "worker/request.h"
#include "worker/worker.h"

/* Where the first fields end that a module cannot do without. */
#define MODULE_SIZE_MIN                                                        \
	(offsetof(pf_module, on_request) + sizeof(void (*)(void)))

struct failure {
	char *text;
	size_t size;
};

/* ---- loading ------------------------------------------------------------ */

/* The module's table, whole: what it does not know of is absent. */
static const char *
module_adopt(struct module *m, const pf_module *theirs)
{
	static _Thread_local char why[128];
	size_t n =
	    theirs->size < sizeof m->calls ? theirs->size : sizeof m->calls;

	if (theirs->abi != PREFORK_ABI) {
		snprintf(why, sizeof why,
		    "it speaks ABI %u, this prefork speaks %u", theirs->abi,
		    PREFORK_ABI);
		return why;
	}
	if (theirs->size < MODULE_SIZE_MIN)
		return "its table is too short";
	memcpy(&m->calls, theirs, n);
	if (m->calls.on_request == NULL)
		return "it has no on_request";
	if (m->calls.name == NULL)
		m->calls.name = m->path;
	return NULL;
}

/* What dlopen() says, without the path that it begins with. */
static const char *
dlopen_text(const char *path)
{
	const char *why = dlerror(); /* NOLINT(concurrency-mt-unsafe) */
	size_t n = strlen(path);

	if (why == NULL)
		return "cannot be loaded";
	return strncmp(why, path, n) == 0 && why[n] == ':' ? why + n + 2 : why;
}

static const char *
module_open(struct module *m)
{
	const pf_module *theirs = module_linked_in(m->path);
	const char *why = module_unloadable(m->path);

	if (theirs != NULL)
		return module_adopt(m, theirs);
	if (why != NULL)
		return why;
	m->handle = dlopen(m->path, RTLD_NOW | RTLD_LOCAL);
	if (m->handle == NULL)
		return dlopen_text(m->path);
	theirs = dlsym(m->handle, "prefork_module");
	if (theirs == NULL)
		return "not a prefork module: it exports no prefork_module";
	return module_adopt(m, theirs);
}

static void
module_free(struct module *m)
{
	if (m->handle != NULL)
		dlclose(m->handle);
	free(m->path);
	free(m);
}

static struct module *
module_find(struct apps *apps, const char *path)
{
	for (struct module *m = apps->modules; m != NULL; m = m->next)
		if (strcmp(m->path, path) == 0)
			return m;
	return NULL;
}

/* The module of an app, loaded once however many apps it serves. */
static struct module *
module_get(struct apps *apps, const struct app_settings *s, struct failure *f)
{
	char path[PATH_MAX];
	struct module *m;
	const char *why;

	if (!module_path(s, path, f->text, f->size))
		return NULL;
	m = module_find(apps, path);
	if (m != NULL)
		return m;
	m = calloc(1, sizeof *m);
	if (m == NULL || (m->path = strdup(path)) == NULL) {
		free(m);
		snprintf(f->text, f->size, "app %s: out of memory", s->name);
		return NULL;
	}
	why = s->type == APP_STATIC ? module_adopt(m, &static_module) :
				      module_open(m);
	if (why != NULL) {
		snprintf(f->text, f->size, "app %s: target %s: %s", s->name,
		    path, why);
		module_free(m);
		return NULL;
	}
	m->index = apps->n_modules++;
	m->next = apps->modules;
	apps->modules = m;
	return m;
}

/* ---- applications ------------------------------------------------------ */

static int
refused(const struct pf_app *app, struct failure *f)
{
	snprintf(f->text, f->size, "app %s: module %s refuses: %s",
	    app->settings->name, app->module->calls.name,
	    app->fail_text != NULL ? app->fail_text : "no reason given");
	return WORKER_CANNOT_LOAD;
}

static void
app_init(struct pf_app *app, const struct settings *s, size_t i)
{
	const struct app_settings *a = &s->apps[i];

	app->server = s;
	app->settings = a;
	habit_init(&app->habit);
	app->body_limits = (struct body_limits){
		.max = a->max_body,
		.memory = s->body_memory,
		.dir = s->body_dir,
		.stream = a->stream,
	};
}

static int
app_open(struct pf_app *app, struct failure *f)
{
	struct module *m = app->module;

	if (!m->started && m->calls.worker_init != NULL &&
	    m->calls.worker_init(&request_host, app, &m->state) != 0)
		return refused(app, f);
	m->started = true;
	if (m->calls.open != NULL &&
	    m->calls.open(&request_host, app, m->state, &app->state) != 0)
		return refused(app, f);
	app->is_open = true;
	return WORKER_OK;
}

static int
app_check(struct pf_app *app, struct failure *f)
{
	if (app->module->calls.check != NULL &&
	    app->module->calls.check(&request_host, app) != 0)
		return refused(app, f);
	return WORKER_OK;
}

typedef int app_step(struct pf_app *, struct failure *);

static int
apps_each(struct apps *apps, const struct settings *s, app_step *step,
    struct failure *f)
{
	int status = WORKER_OK;

	*apps = (struct apps){ .at = calloc(s->n_apps, sizeof *apps->at) };
	if (apps->at == NULL) {
		snprintf(f->text, f->size, "out of memory");
		return WORKER_CANNOT_BOOT;
	}
	for (; apps->n < s->n_apps && status == WORKER_OK; apps->n++) {
		struct pf_app *app = &apps->at[apps->n];

		app_init(app, s, apps->n);
		app->module = module_get(apps, app->settings, f);
		status =
		    app->module != NULL ? step(app, f) : WORKER_CANNOT_LOAD;
	}
	return status;
}

int
apps_open(struct apps *apps, const struct settings *s, char *err,
    size_t err_size)
{
	struct failure f = { .text = err, .size = err_size };

	err[0] = '\0';
	return apps_each(apps, s, app_open, &f);
}

int
apps_check(struct apps *apps, const struct settings *s, char *err,
    size_t err_size)
{
	struct failure f = { .text = err, .size = err_size };

	err[0] = '\0';
	return apps_each(apps, s, app_check, &f);
}

int
apps_refused(const struct apps *apps, const struct module *m, char *err,
    size_t err_size)
{
	struct failure f = { .text = err, .size = err_size };
	const struct pf_app *who = NULL;

	err[0] = '\0';
	for (size_t i = 0; i < apps->n; i++)
		if (apps->at[i].module == m &&
		    (who == NULL || who->fail_text == NULL))
			who = &apps->at[i];
	pf_assert(who != NULL);
	return refused(who, &f);
}

static void
setting_texts_free(struct pf_app *app)
{
	struct setting_text *t;

	while ((t = app->setting_texts) != NULL) {
		app->setting_texts = t->next;
		free(t->text);
		free(t);
	}
}

void
apps_close(struct apps *apps)
{
	struct module *m;

	while (apps->n > 0) {
		struct pf_app *app = &apps->at[--apps->n];

		if (app->is_open && app->module->calls.close != NULL)
			app->module->calls.close(app->state);
		setting_texts_free(app);
		free(app->fail_text);
	}
	free(apps->at);
	while ((m = apps->modules) != NULL) {
		apps->modules = m->next;
		if (m->started && m->calls.worker_fini != NULL)
			m->calls.worker_fini(m->state);
		module_free(m);
	}
	*apps = (struct apps){ 0 };
}
