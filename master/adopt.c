/* The new program's half of SIGUSR2: it becomes what the old one was. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "conf/load.h"
#include "conf/settings.h"
#include "master/control.h"
#include "master/image.h"
#include "master/listen.h"
#include "master/master.h"
#include "master/watch.h"

static struct settings *
adopt_settings(const char *text)
{
	char err[512];
	struct settings *s = image_settings(text, err, sizeof err);

	if (s == NULL)
		fatalx("cannot take over: %s", err);
	return s;
}

static void
adopt_deployment(struct master *m, const struct image *i)
{
	struct settings *s = adopt_settings(i->settings);
	struct deployment *d = deployment_empty(s, &m->priv, i->n_listeners);

	if (d == NULL)
		fatal("cannot take over");
	d->generation = i->serving;
	d->logs = i->logs;
	fcntl(d->logs.error_fd, F_SETFD, FD_CLOEXEC);
	if (d->logs.access_fd >= 0)
		fcntl(d->logs.access_fd, F_SETFD, FD_CLOEXEC);
	for (unsigned n = 0; n < i->n_listeners; n++) {
		struct listener *l = listener_adopt(&i->listener[n]);

		if (l == NULL)
			fatal("cannot take over %s", i->listener[n].spec);
		deployment_add(d, l);
	}
	m->deployments = d;
	m->serving = i->serving;
	m->last_generation = i->last_generation;
	log_set_fd(d->logs.error_fd);
	log_set_level((enum log_level)s->log_level);
}

/* The workers that are here keep theirs in any case.  false: it cannot be read
 * by this program. */
static bool
adopt_scoreboard(struct master *m, int fd)
{
	struct scoreboard *b = scoreboard_map(fd);

	if (b == NULL) {
		log_info("upgrade: a new scoreboard, as this version's is "
			 "another one");
		fd_close(&fd);
		return false;
	}
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	scoreboard_free(&m->scoreboard);
	fd_close(&m->scoreboard_fd);
	m->scoreboard = b;
	m->scoreboard_fd = fd;
	return true;
}

/* watched: its heartbeat can be read. */
static void
adopt_child(struct master *m, const struct image_child *c, bool watched)
{
	struct child *mine;

	if (c->channel_fd >= 0) {
		fcntl(c->channel_fd, F_SETFD, FD_CLOEXEC);
		fd_refuse_fds(c->channel_fd); /* the old one may have let it */
	}
	mine =
	    child_new(m, (pid_t)c->pid, c->slot, c->generation, c->channel_fd);
	if (mine == NULL)
		fatal("cannot take over worker %u", c->slot);
	mine->leaving = c->leaving;
	mine->killed = c->killed;
	mine->ready = c->ready;
	mine->stall_timeout = watched ? c->stall_timeout_ms : 0;
	m->child[c->slot] = mine;
}

static void
adopt_pidfile(struct master *m, struct image *i)
{
	m->pidfile.fd = i->pidfile.fd;
	if (i->pidfile.fd < 0)
		return;
	fcntl(i->pidfile.fd, F_SETFD, FD_CLOEXEC);
	m->pidfile.path = i->pidfile.path;
	i->pidfile.path = NULL;
}

static void
adopt_control(struct master *m, const struct control_image *i)
{
	if (i->fd < 0)
		return; /* the caller tries to have one */
	m->control = control_adopt(m, i);
	if (m->control == NULL)
		fatal("cannot take over the control socket");
}

void
master_adopt(struct master *m, int state_fd)
{
	struct image i;
	char err[256];
	bool watched;

	if (image_load(&i, state_fd, err, sizeof err) < 0)
		fatalx("cannot take over: %s", err);
	if (i.pid != (uint64_t)getpid())
		fatalx("cannot take over: the state is that of process %llu",
		    (unsigned long long)i.pid);
	fd_close(&state_fd);
	m->priv = i.priv;
	m->is_daemon = i.is_daemon;
	m->log_is_startup = i.log_is_startup;
	m->committed = true;
	m->first = adopt_settings(i.first);
	m->priv.no_new_privs = m->first->no_new_privs;
	priv_limit_master(&m->priv);
	adopt_deployment(m, &i);
	watched = adopt_scoreboard(m, i.scoreboard_fd);
	adopt_pidfile(m, &i);
	sup_free(&m->sup);
	m->sup = i.sup;
	i.sup = NULL;
	for (unsigned n = 0; n < i.n_children; n++)
		adopt_child(m, &i.child[n], watched);
	adopt_control(m, &i.control);
	m->upgrade.from = i.program;
	i.program = NULL;
	watch_look(m);
	log_info("prefork %s took over from %s with %u worker%s",
	    PREFORK_VERSION, m->upgrade.from, i.n_children,
	    i.n_children == 1 ? "" : "s");
	image_fini(&i);
}
