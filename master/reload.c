/* SIGHUP: everything of the new generation that can fail before a fork. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "conf/settings.h"
#include "master/master.h"

static void
log_lines(char *text)
{
	char *rest = text, *line;

	while ((line = strsep(&rest, "\n")) != NULL)
		if (line[0] != '\0')
			log_errorx("%s", line);
}

/* NULL, with every mistake logged. */
static struct settings *
load(const struct settings_source *source)
{
	char *text = NULL;
	size_t n = 0;
	FILE *errors = open_memstream(&text, &n);
	struct settings *s;

	if (errors == NULL) {
		log_error("cannot read the configuration");
		return NULL;
	}
	s = settings_load(source, errors);
	fclose(errors);
	if (text != NULL)
		log_lines(text);
	free(text);
	return s;
}

static void
warn_of_restart(const struct master *m, const struct deployment *d)
{
	const struct deployment *was = master_deployment(m, m->serving);
	char names[256];

	if (was == NULL)
		return;
	deployment_needs_restart(was, d, names, sizeof names);
	if (names[0] != '\0')
		log_warnx("only a restart changes %s", names);
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
