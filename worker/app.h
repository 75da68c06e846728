/* An application: one [app:NAME] of the settings, loaded into this worker. */
#ifndef WORKER_APP_H
#define WORKER_APP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <prefork/module.h>

#include "worker/habit.h"
#include "worker/http/body.h"
#include "worker/net/deadline.h"
#include "worker/str.h"

struct app_settings;
struct settings;
struct worker;

/* A shared object (or the built-in static files), once per worker. */
struct module {
	struct module *next;
	char *path;
	void *handle;           /* of dlopen; NULL: built in */
	pf_module calls;        /* what it lacks is NULL */
	void *state;            /* what worker_init left */
	unsigned index;         /* of its per-thread state */
	bool started;           /* worker_init was called */
	atomic_bool tells_lock; /* it called pf_host.lock_waited */
};

/* A setting as text. */
struct setting_text {
	struct setting_text *next;
	char *text;
};

struct pf_app {
	const struct settings *server;
	const struct app_settings *settings;
	struct module *module;
	void *state; /* what open() left */
	bool is_open;
	struct body_limits body_limits;
	/* Handlers in work off the loop, by the time they began. */
	struct deadline_list in_work;
	struct habit habit;
	char *fail_text; /* what pf_host.fail was told; NULL: nothing */
	struct setting_text *setting_texts; /* that pf_host.setting gave out */
	/* It was told that 204 and 304 have no body; handlers say so. */
	atomic_bool told_bodiless;
};

struct apps {
	struct pf_app *at;
	size_t n;
	struct module *modules; /* latest first */
	unsigned n_modules;
};

/* Loads and starts everything, on the main thread.  0, or an enum worker_exit
 * with the reason in err; apps_close() in any case. */
int apps_open(struct apps *, const struct settings *, char *err,
    size_t err_size);
void apps_close(struct apps *);

/* As apps_open, but only the check() of each module. */
int apps_check(struct apps *, const struct settings *, char *err,
    size_t err_size);

/* A module refuses, and one of its apps has said why: an enum worker_exit, with
 * the reason in err. */
int apps_refused(const struct apps *, const struct module *, char *err,
    size_t err_size);

/* The app for this path and host: the longest mount, and one that names the
 * host before one that does not.  NULL: none. */
struct pf_app *apps_route(const struct apps *, struct str path,
    struct str host);

#endif
