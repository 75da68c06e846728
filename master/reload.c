/* SIGHUP: everything of the new generation that can fail before a fork. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "conf/settings.h"
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

/* NULL, with every mistake logged. */
static struct settings *
load(const struct settings_source *source)
{
	struct text mistakes;
	struct settings *s = NULL;

	text_open(&mistakes);
	if (mistakes.out != NULL)
		s = settings_load(source, mistakes.out);
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

void
master_reload(struct master *m)
{
	struct settings *s = load(&m->source);
	struct deployment *d;
	char err[512];

	if (s == NULL) {
		log_errorx("reload failed: the configuration has errors; "
			   "generation %u goes on serving",
		    m->serving);
		return;
	}
	d = deployment_new(s, m->deployments, &m->priv, err, sizeof err);
	if (d == NULL) {
		log_errorx("reload failed: %s; generation %u goes on serving",
		    err, m->serving);
		return;
	}
	warn_of_restart(m, d);
	d->generation = ++m->last_generation;
	d->next = m->deployments;
	m->deployments = d;
	master_feed(m,
	    &(struct sup_event){ .kind = SUP_RELOAD,
		.generation = d->generation,
		.conf = deployment_conf(d) });
}
