/* SIGHUP: everything of the new generation that can fail before a fork. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "conf/settings.h"
#include "master/control.h"
#include "master/master.h"

/* Text that a FILE collects, to be logged line by line. */
struct text {
	char *p;
	size_t n;
	FILE *out; /* NULL: no memory */
};

static void
text_open(struct text *t)
{
	*t = (struct text){ 0 };
	t->out = open_memstream(&t->p, &t->n);
	if (t->out == NULL)
		log_error("cannot collect messages");
}

static void
text_log(struct text *t, enum log_level level)
{
	char *rest, *line;

	if (t->out == NULL)
		return;
	fclose(t->out);
	rest = t->p;
	while ((line = strsep(&rest, "\n")) != NULL)
		if (line[0] != '\0')
			log_at(level, "%s", line);
	free(t->p);
}

/* NULL, with every mistake logged and the first one in err. */
static struct settings *
load(const struct settings_source *source, char *err, size_t err_bytes)
{
	struct text mistakes;
	struct settings *s = NULL;

	snprintf(err, err_bytes, "out of memory");
	text_open(&mistakes);
	if (mistakes.out != NULL) {
		s = settings_load(source, mistakes.out);
		if (fflush(mistakes.out) == 0 && mistakes.n > 0)
			snprintf(err, err_bytes, "%.*s",
			    (int)strcspn(mistakes.p, "\n"), mistakes.p);
	}
	text_log(&mistakes, LOG_ERROR);
	return s;
}

static void
warn_of_restart(const struct master *m, const struct deployment *d)
{
	struct text text;

	text_open(&text);
	if (text.out != NULL)
		settings_print_restart(m->first, d->settings, text.out);
	text_log(&text, LOG_WARN);
}

/* NULL, with the reason in err. */
static struct deployment *
prepare(struct master *m, char *err, size_t err_bytes)
{
	struct settings *s = load(&m->source, err, err_bytes);

	if (s == NULL)
		return NULL;
	return deployment_new(s, m->deployments, &m->priv, err, err_bytes);
}

void
master_reload_over(struct master *m, unsigned generation,
    enum reload_result result, const char *reason)
{
	struct reload_report *r = &m->last_reload;

	r->result = result;
	r->generation = generation;
	r->at = time(NULL);
	snprintf(r->reason, sizeof r->reason, "%s", reason);
	control_over(m->control, WAIT_RELOAD);
	upgrade_reload_over(m);
}

static bool
others_accept(const struct master *m)
{
	for (unsigned i = 0; i < SUP_SLOTS_MAX; i++) {
		const struct child *c = m->child[i];

		if (c != NULL && c->generation != m->serving && c->ready &&
		    !c->closed)
			return true;
	}
	return false;
}

static void
settle(struct master *m)
{
	if (!m->settling)
		return;
	m->settling = false;
	master_reload_over(m, m->serving, RELOAD_DONE, "");
}

void
master_reload_settle(struct master *m)
{
	if (!others_accept(m))
		settle(m);
}

unsigned
master_reload(struct master *m)
{
	unsigned generation = m->last_generation + 1;
	char err[512];
	struct sup_counts counts = sup_count(m->sup);
	struct deployment *d;

	settle(m); /* of the one before nobody waits for more */
	if (counts.leaving || counts.stopping) {
		log_info("reload given up: workers are to stop");
		master_reload_over(m, 0, RELOAD_FAILED, "workers are to stop");
		return 0;
	}
	if (m->committed)
		notify_reloading(m);
	d = prepare(m, err, sizeof err);
	if (d == NULL) {
		log_errorx("reload failed: %s; generation %u goes on serving",
		    err, m->serving);
		/* While one is on trial, that one ends the reload. */
		if (m->committed && !counts.on_trial)
			notify_serving(m, err);
		master_reload_over(m, 0, RELOAD_FAILED, err);
		return 0;
	}
	warn_of_restart(m, d);
	d->generation = m->last_generation = generation;
	d->next = m->deployments;
	m->deployments = d;
	master_feed(m,
	    &(struct sup_event){ .kind = SUP_RELOAD,
		.generation = generation,
		.conf = deployment_conf(d) });
	return generation; /* d may be gone */
}
