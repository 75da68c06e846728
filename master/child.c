#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "master/child.h"
#include "master/master.h"
#include "master/watch.h"

#define NUMBER_BASE 10

static void
ask(struct child *c, enum sup_event_kind what, const char *when,
    const char *why)
{
	log_info("worker %u (%d) asks to be replaced%s: %s", c->slot,
	    (int)c->pid, when, why);
	master_feed(c->master,
	    &(struct sup_event){ .kind = what, .slot = c->slot });
}

static void
on_message(void *child, struct channel_message *m)
{
	struct child *c = child;
	struct sup_event ev = { .slot = c->slot };

	switch (m->kind) {
	case CHANNEL_READY:
		log_info("worker %u (%d) ready, generation %u", c->slot,
		    (int)c->pid, c->generation);
		ev.kind = SUP_READY;
		c->ready = true;
		master_feed(c->master, &ev);
		watch_look(c->master);
		break;
	case CHANNEL_FAILED:
		snprintf(c->reason, sizeof c->reason, "%s", m->text);
		break;
	case CHANNEL_RECYCLE: ask(c, SUP_RECYCLE, "", m->text); break;
	case CHANNEL_TOO_LARGE: ask(c, SUP_TOO_LARGE, "", m->text); break;
	case CHANNEL_RECYCLE_NOW:
		ask(c, SUP_RECYCLE_NOW, " at once", m->text);
		break;
	case CHANNEL_CLOSED:
		c->closed = true;
		master_reload_settle(c->master);
		break;
	case CHANNEL_RETIRE:
	case CHANNEL_QUIT:
	case CHANNEL_REOPEN:
	case CHANNEL_PING:
	case CHANNEL_FORK:
	case CHANNEL_GO:
	case CHANNEL_FORKED:
	case CHANNEL_NOT_FORKED:
	case CHANNEL_KIND_END:
	default:
		log_warnx("worker %u (%d) sent message %d, which is ours",
		    c->slot, (int)c->pid, (int)m->kind);
		break;
	}
}

static void
stop_listening(struct child *c)
{
	ev_io_stop(c->master->loop, &c->io);
	fd_close(&c->channel_fd);
}

void
child_listen(struct child *c)
{
	int more = channel_hear(&c->channel_fd, on_message, c);

	if (more < 0)
		log_warn("channel of worker %u (%d)", c->slot, (int)c->pid);
	if (more <= 0)
		stop_listening(c);
}

static void
on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	(void)loop;
	(void)revents;
	child_listen(w->data);
}

static void
on_exit_status(struct ev_loop *loop, ev_child *w, int revents)
{
	struct child *c = w->data;

	(void)loop;
	(void)revents;
	child_listen(c); /* its last words */
	master_child_exited(c->master, c, w->rstatus);
}

struct child *
child_new(struct master *m, pid_t pid, unsigned slot, unsigned generation,
    int channel_fd)
{
	struct child *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->master = m;
	c->pid = pid;
	c->slot = slot;
	c->generation = generation;
	c->since_ns = clock_now_ns();
	c->channel_fd = channel_fd;
	ev_child_init(&c->exit, on_exit_status, pid, 0);
	c->exit.data = c;
	ev_child_start(m->loop, &c->exit);
	ev_io_init(&c->io, on_readable, channel_fd, EV_READ);
	c->io.data = c;
	if (channel_fd >= 0)
		ev_io_start(m->loop, &c->io);
	return c;
}

void
child_free(struct child **cp)
{
	struct child *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	ev_child_stop(c->master->loop, &c->exit);
	stop_listening(c);
	free(c);
}

/* -1: there is no such process. */
static pid_t
parent_of(pid_t pid)
{
	char path[64], line[128];
	long parent = -1;
	FILE *in;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	in = fopen(path, "re");
	if (in == NULL)
		return -1;
	while (parent < 0 && fgets(line, sizeof line, in) != NULL)
		if (strncmp(line, "PPid:", 5) == 0)
			parent = strtol(line + 5, NULL, NUMBER_BASE);
	fclose(in);
	return (pid_t)parent;
}

/* One of ours has two between us at most: its template, and what hands it over.
 * Each may end while we look, which brings it nearer. */
static bool
descends_from_us(pid_t pid)
{
	for (int look = 0; look < 3; look++) {
		pid_t p = pid;

		for (int up = 0; up < 3 && p > 1; up++)
			if ((p = parent_of(p)) == getpid())
				return true;
	}
	return false;
}

static bool
is_ours(pid_t pid)
{
	siginfo_t info;

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) ==
	    0 ||
	    descends_from_us(pid); /* it is being handed over */
}

void
child_signal(const struct child *c, int signo)
{
	if (is_ours(c->pid))
		kill(c->pid, signo);
}

void
child_tell(struct child *c, enum channel_kind kind, const int *fds,
    size_t n_fds)
{
	if (c->channel_fd < 0)
		return; /* it is on its way out */
	if (channel_send(c->channel_fd, kind, "", fds, n_fds) == 0)
		return;
	if (errno != EPIPE && errno != ECONNRESET)
		log_warn("cannot tell worker %u (%d)", c->slot, (int)c->pid);
}
