#include <signal.h>
#include <stdio.h>

#include "common/log.h"
#include "common/title.h"
#include "conf/settings.h"
#include "master/carry_out.h"
#include "master/daemon.h"
#include "master/listen.h"
#include "master/master.h"
#include "master/spawn.h"
#include "master/template.h"

static void
spawn(struct master *m, const struct sup_action *a)
{
	struct deployment *d = master_deployment(m, a->generation);

	if (d == NULL ||
	    (d->settings->preload ? template_spawn(m, a->slot, d) :
				    spawn_worker(m, a->slot, d)) < 0)
		m->unspawned[m->n_unspawned++] = a->slot;
}

static void
tell_to_go(struct master *m, unsigned slot, enum channel_kind kind)
{
	struct child *c = m->child[slot];

	if (c == NULL)
		return;
	c->leaving = true;
	child_tell(c, kind, NULL, 0);
}

static void
kill_worker(struct master *m, const struct sup_action *a)
{
	struct child *c = m->child[a->slot];
	char what[96];

	if (c == NULL) {
		template_cancel(m, a);
		return;
	}
	if (a->why == WHY_BOOT_TIMEOUT)
		snprintf(what, sizeof what,
		    "worker %u (%d) was not ready within boot_timeout", a->slot,
		    (int)c->pid);
	else if (a->why == WHY_STALLED)
		snprintf(what, sizeof what, "worker %u (%d) stands still",
		    a->slot, (int)c->pid);
	else if (a->why == WHY_GRACE_OVER)
		snprintf(what, sizeof what,
		    "worker %u (%d) took too long to finish", a->slot,
		    (int)c->pid);
	else
		snprintf(what, sizeof what, "worker %u (%d) is not needed",
		    a->slot, (int)c->pid);
	log_at(a->why == WHY_UNWANTED ? LOG_INFO : LOG_WARN, "%s: killed",
	    what);
	if (a->why == WHY_BOOT_TIMEOUT)
		snprintf(m->trouble, sizeof m->trouble, "%s", what);
	c->leaving = c->killed = true;
	child_signal(c, SIGKILL);
}

void
free_deployments(struct master *m, unsigned generation, bool but_this)
{
	struct deployment **at = &m->deployments;

	while (*at != NULL) {
		struct deployment *d = *at;

		if ((d->generation == generation) == but_this) {
			at = &d->next;
			continue;
		}
		*at = d->next;
		template_dismiss(m, d->generation);
		deployment_free(&d);
	}
}

void
log_listeners(const struct deployment *d, const struct deployment *was)
{
	for (size_t i = 0; i < d->n_listeners; i++) {
		const char *spec = listener_spec(d->listeners[i]);
		bool tcp = spec[0] == '[' || (spec[0] >= '0' && spec[0] <= '9');

		if (was == NULL || !deployment_has(was, d->listeners[i]))
			log_info(tcp ? "listening on http://%s/" :
				       "listening on %s",
			    spec);
	}
}

static void
commit(struct master *m, unsigned generation)
{
	struct deployment *d = master_deployment(m, generation);
	const struct deployment *was = master_deployment(m, m->serving);
	bool reloaded = m->serving != generation;

	if (reloaded) {
		log_listeners(d, was);
		deployment_settle(d);
		log_set_fd(d->logs.error_fd);
		log_set_level((enum log_level)d->settings->log_level);
		m->serving = generation;
		free_deployments(m, generation, true);
	}
	if (m->committed)
		log_info("reload: generation %u serves", generation);
	else
		log_info("generation %u serves", generation);
	m->committed = true;
	notify_serving(m, NULL);
	daemon_report(m->daemon, 0);
	m->settling = reloaded;
	master_reload_settle(m);
}

static const char *
rollback_reason(const struct master *m, enum sup_why why)
{
	if (why == WHY_SUPERSEDED)
		return "another one came";
	if (why == WHY_STOPPING)
		return "workers are to stop";
	if (why == WHY_NO_PROCESS)
		return "cannot start a process";
	return m->trouble;
}

static void
roll_back(struct master *m, const struct sup_action *a)
{
	bool given_up = a->why == WHY_SUPERSEDED || a->why == WHY_STOPPING;
	const char *reason = rollback_reason(m, a->why);

	if (given_up)
		log_info("reload given up: %s", reason);
	else
		log_errorx("reload failed: %.*s; generation %u goes on serving",
		    log_first_line(reason), reason, m->serving);
	/* a superseded one is followed by its successor; a stop says so itself
	 */
	if (a->why != WHY_SUPERSEDED && !sup_count(m->sup).stopping)
		notify_serving(m, reason);
	free_deployments(m, a->generation, false);
	master_reload_over(m, a->generation,
	    given_up ? RELOAD_GIVEN_UP : RELOAD_FAILED, reason);
}

/* Rename, signal, and lines go to a file of the old name again. */
static void
reopen_logs(struct master *m)
{
	char err[512];

	for (struct deployment *d = m->deployments; d != NULL; d = d->next) {
		struct logs was = d->logs;

		if (logs_open(&d->logs, d->settings, &m->priv, err,
			sizeof err) < 0) {
			d->logs = was;
			log_errorx("%s; the old one goes on", err);
			continue;
		}
		if (d->generation == m->serving)
			log_set_fd(d->logs.error_fd);
		logs_close(&was);
	}
}

static void
reopen(struct master *m)
{
	reopen_logs(m);
	for (const struct deployment *d = m->deployments; d != NULL;
	     d = d->next)
		template_reopen(m, d->generation,
		    (int[]){ d->logs.error_fd, d->logs.access_fd },
		    d->logs.access_fd < 0 ? 1 : 2);
	for (unsigned i = 0; i < SUP_SLOTS_MAX; i++) {
		struct child *c = m->child[i];
		const struct deployment *d;

		if (c == NULL)
			continue;
		d = master_deployment(m, c->generation);
		if (d == NULL)
			d = master_deployment(m, m->serving);
		child_tell(c, CHANNEL_REOPEN,
		    (int[]){ d->logs.error_fd, d->logs.access_fd },
		    d->logs.access_fd < 0 ? 1 : 2);
	}
	log_info("logs reopened");
}

static void
finish(struct master *m, int status)
{
	if (status != 0) {
		log_errorx("cannot start: %.*s", log_first_line(m->trouble),
		    m->trouble);
		if (!m->log_is_startup && m->daemon->error_fd >= 0)
			dprintf(m->daemon->error_fd,
			    "prefork: cannot start: %s\n", m->trouble);
	}
	m->status = status;
	m->over = true;
	ev_break(m->loop, EVBREAK_ALL);
}

void
carry_out(struct master *m, const struct sup_action *a)
{
	switch (a->kind) {
	case ACT_SPAWN: spawn(m, a); break;
	case ACT_RETIRE: tell_to_go(m, a->slot, CHANNEL_RETIRE); break;
	case ACT_QUIT: tell_to_go(m, a->slot, CHANNEL_QUIT); break;
	case ACT_KILL: kill_worker(m, a); break;
	case ACT_COMMIT: commit(m, a->generation); break;
	case ACT_ROLLBACK: roll_back(m, a); break;
	case ACT_REOPEN: reopen(m); break;
	case ACT_EXIT: finish(m, a->status); break;
	}
}
