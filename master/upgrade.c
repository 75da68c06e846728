#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "conf/settings.h"
#include "master/activation.h"
#include "master/exit_text.h"
#include "master/image.h"
#include "master/master.h"
#include "master/self_test.h"
#include "master/upgrade.h"

#define MS_PER_S 1000.0

void
upgrade_init(struct upgrade *u)
{
	*u = (struct upgrade){ .program = self_find(), .out_fd = -1 };
}

void
upgrade_fini(struct upgrade *u)
{
	if (u->pid > 0)
		kill(-u->pid, SIGKILL);
	fd_close(&u->out_fd);
	free(u->program);
	u->program = NULL;
}

void
upgrade_shed(struct upgrade *u)
{
	fd_close(&u->out_fd);
}

static void
log_failed(const char *why)
{
	log_errorx("upgrade failed: %s; prefork %s goes on serving", why,
	    PREFORK_VERSION);
}

/* ---- the test ------------------------------------------------------------ */

/* All that is there; what does not fit is dropped. */
static void
listen_to_test(struct upgrade *u)
{
	char spare[512];
	ssize_t n;

	do {
		size_t room = sizeof u->said - 1 - u->n_said;

		n = room > 0 ? read(u->out_fd, u->said + u->n_said, room) :
			       read(u->out_fd, spare, sizeof spare);
		if (n > 0 && room > 0)
			u->n_said += (size_t)n;
	} while (n > 0);
	u->said[u->n_said] = '\0';
}

static void
on_said(struct ev_loop *loop, ev_io *io, int revents)
{
	struct upgrade *u = io->data;
	size_t was = u->n_said;

	(void)revents;
	listen_to_test(u);
	if (u->n_said == was)
		ev_io_stop(loop, io); /* the end of it, or full */
}

static void
on_late(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct upgrade *u = t->data;

	(void)loop;
	(void)revents;
	u->late = true;
	kill(-u->pid, SIGKILL);
}

static void
test_end(struct master *m)
{
	struct upgrade *u = &m->upgrade;

	ev_io_stop(m->loop, &u->out);
	ev_timer_stop(m->loop, &u->limit);
	ev_child_stop(m->loop, &u->exit);
	fd_close(&u->out_fd);
	u->pid = 0;
}

static void
log_said(char *said)
{
	char *line;

	while ((line = strsep(&said, "\n")) != NULL)
		if (line[0] != '\0')
			log_errorx("upgrade: %s", line);
}

/* What anything but success means. */
static void
judge_failure(struct upgrade *u, int status)
{
	char how[64], why[128];

	log_said(u->said);
	exit_text(status, how, sizeof how);
	if (u->late)
		snprintf(why, sizeof why,
		    "the new program did not test itself within boot_timeout");
	else if (status == 0)
		snprintf(why, sizeof why,
		    "the new program does not know how to take over");
	else
		snprintf(why, sizeof why, "the new program's test %s", how);
	log_failed(why);
}

static void
on_tested(struct ev_loop *loop, ev_child *c, int revents)
{
	struct master *m = c->data;
	struct upgrade *u = &m->upgrade;
	struct sup_counts counts = sup_count(m->sup);

	(void)loop;
	(void)revents;
	listen_to_test(u);
	test_end(m);
	if (counts.stopping || counts.leaving)
		return;
	u->passed =
	    c->rstatus == 0 && strstr(u->said, IMAGE_UNDERSTOOD) != NULL;
	if (!u->passed)
		judge_failure(u, c->rstatus);
	else if (counts.on_trial)
		log_info("upgrade: waits for the reload to end");
	upgrade_step(m);
}

static void
watch_test(struct master *m, double limit)
{
	struct upgrade *u = &m->upgrade;

	u->n_said = 0;
	u->late = false;
	ev_child_init(&u->exit, on_tested, u->pid, 0);
	u->exit.data = m;
	ev_child_start(m->loop, &u->exit);
	ev_io_init(&u->out, on_said, u->out_fd, EV_READ);
	u->out.data = u;
	ev_io_start(m->loop, &u->out);
	ev_now_update(m->loop);
	ev_timer_init(&u->limit, on_late, limit, 0.0);
	u->limit.data = u;
	ev_timer_start(m->loop, &u->limit);
}

/* NULL, or why there can be no upgrade now. */
static const char *
objection(const struct master *m)
{
	if (m->upgrade.pid > 0 || m->upgrade.passed)
		return "one is under way";
	if (!m->committed)
		return "the first workers do not serve yet";
	if (sup_count(m->sup).stopping || sup_count(m->sup).leaving)
		return "prefork is stopping";
	if (m->upgrade.program == NULL)
		return "the file of the program is unknown";
	return NULL;
}

void
upgrade_begin(struct master *m)
{
	const struct deployment *d = master_deployment(m, m->serving);
	const char *why = objection(m);
	char err[256];
	int state_fd;

	if (why != NULL) {
		log_warnx("no upgrade: %s", why);
		return;
	}
	state_fd = image_save(m, err, sizeof err);
	if (state_fd < 0) {
		log_failed(err);
		return;
	}
	m->upgrade.pid = self_test_start(m, state_fd, &m->upgrade.out_fd);
	fd_close(&state_fd);
	if (m->upgrade.pid < 0) {
		m->upgrade.pid = 0;
		log_error("upgrade failed: cannot start a process");
		return;
	}
	log_info("upgrade: %s tests itself", m->upgrade.program);
	watch_test(m, (double)d->settings->boot_timeout_ms / MS_PER_S);
}

/* ---- the change ---------------------------------------------------------- */

void
upgrade_step(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	struct sup_counts c = sup_count(m->sup);

	if (c.stopping || c.leaving) {
		if (u->pid > 0)
			kill(-u->pid, SIGKILL);
		u->passed = false;
	} else if (u->passed && !c.on_trial) {
		ev_break(m->loop, EVBREAK_ALL);
	}
}

static void
keep(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFD, 0);
}

static void
keep_not(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Returns when it failed. */
static void
change_program(struct master *m)
{
	char err[256];
	int state_fd = image_save(m, err, sizeof err);

	if (state_fd < 0) {
		log_failed(err);
		return;
	}
	log_info("upgrade: %s takes over", m->upgrade.program);
	image_each_fd(m, keep);
	activation_keep(true);
	keep(state_fd);
	self_exec(m, state_fd, false);
	snprintf(err, sizeof err, "cannot run %s: %s", m->upgrade.program,
	    strerrordesc_np(errno));
	image_each_fd(m, keep_not);
	activation_keep(false);
	fd_close(&state_fd);
	log_failed(err);
}

/* A signal that came before the mask is in libev's hands, where it would be
 * lost: one turn of the loop acts on it.  One that comes later waits in the
 * kernel for the new program. */
void
upgrade_take_over(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	struct sup_counts c;
	sigset_t all, was;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &was);
	ev_run(m->loop, EVRUN_NOWAIT);
	c = sup_count(m->sup);
	if (u->passed && !c.on_trial && !c.stopping && !c.leaving) {
		u->passed = false;
		change_program(m);
	}
	pthread_sigmask(SIG_SETMASK, &was, NULL);
}
