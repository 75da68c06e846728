#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "conf/settings.h"
#include "master/activation.h"
#include "master/control.h"
#include "master/exit_text.h"
#include "master/image.h"
#include "master/master.h"
#include "master/program.h"
#include "master/self_test.h"
#include "master/template.h"
#include "master/upgrade.h"

#define MS_PER_S 1000.0

void
upgrade_init(struct upgrade *u)
{
	*u = (struct upgrade){ .program = program_find(), .out_fd = -1 };
}

void
upgrade_fini(struct upgrade *u)
{
	if (u->pid > 0) { /* on a busy machine it takes its time to die */
		kill(-u->pid, SIGKILL);
		while (waitpid(u->pid, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	fd_close(&u->out_fd);
	free(u->program);
	free(u->from);
	u->program = u->from = NULL;
}

void
upgrade_shed(struct upgrade *u)
{
	fd_close(&u->out_fd);
}

/* Logs it, and tells who waits for it with more words than the log needs. */
static void
fail(struct master *m, const char *why, const char *words)
{
	struct upgrade *u = &m->upgrade;

	log_errorx("upgrade failed: %s; prefork %s goes on serving", why,
	    PREFORK_VERSION);
	snprintf(u->why, sizeof u->why, "upgrade failed: %s%s%s", why,
	    words[0] != '\0' ? ": " : "", words);
	control_over(m->control, WAIT_UPGRADE);
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

/* Logs the lines and makes one of them. */
static void
log_said(char *said, char *all, size_t all_bytes)
{
	size_t n = 0;
	char *line;

	all[0] = '\0';
	while ((line = strsep(&said, "\n")) != NULL) {
		if (line[0] == '\0')
			continue;
		log_errorx("upgrade: %s", line);
		n += (size_t)snprintf(all + n, all_bytes - n, "%s%s",
		    n > 0 ? "; " : "", line);
		if (n >= all_bytes)
			n = all_bytes - 1; /* it was cut */
	}
}

/* What anything but success means. */
static void
judge_failure(struct master *m, int status)
{
	struct upgrade *u = &m->upgrade;
	char how[64], why[128], words[1024];

	log_said(u->said, words, sizeof words);
	exit_text(status, how, sizeof how);
	if (u->late)
		snprintf(why, sizeof why,
		    "the new program did not test itself within boot_timeout");
	else if (status == 0)
		snprintf(why, sizeof why,
		    "the new program does not know how to take over");
	else
		snprintf(why, sizeof why, "the new program's test %s", how);
	fail(m, why, words);
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
		judge_failure(m, c->rstatus);
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

bool
upgrade_is_under_way(const struct master *m)
{
	return m->upgrade.pid > 0 || m->upgrade.passed;
}

/* NULL, or why there can be no upgrade now. */
static const char *
objection(const struct master *m)
{
	if (upgrade_is_under_way(m))
		return "one is under way";
	if (!m->committed)
		return "the first workers do not serve yet";
	if (sup_count(m->sup).stopping || sup_count(m->sup).leaving)
		return "prefork is stopping";
	if (m->upgrade.program == NULL)
		return "the file of the program is unknown";
	return NULL;
}

bool
upgrade_begin(struct master *m)
{
	const struct deployment *d = master_deployment(m, m->serving);
	const char *why = objection(m);
	char err[256];
	int state_fd;

	if (why != NULL) {
		log_warnx("no upgrade: %s", why);
		snprintf(m->upgrade.why, sizeof m->upgrade.why,
		    "no upgrade: %s", why);
		return false;
	}
	state_fd = image_save(m, err, sizeof err);
	if (state_fd < 0) {
		fail(m, err, "");
		return false;
	}
	m->upgrade.pid = self_test_start(m, state_fd, &m->upgrade.out_fd);
	fd_close(&state_fd);
	if (m->upgrade.pid < 0) {
		m->upgrade.pid = 0;
		snprintf(err, sizeof err, "cannot start a process: %m");
		fail(m, err, "");
		return false;
	}
	log_info("upgrade: %s tests itself", m->upgrade.program);
	watch_test(m, (double)d->settings->boot_timeout_ms / MS_PER_S);
	return true;
}

/* ---- the change ---------------------------------------------------------- */

static void
give_up(struct master *m)
{
	struct upgrade *u = &m->upgrade;

	if (u->pid > 0)
		kill(-u->pid, SIGKILL);
	u->passed = false;
	snprintf(u->why, sizeof u->why, "no upgrade: prefork is stopping");
	control_over(m->control, WAIT_UPGRADE);
}

void
upgrade_step(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	struct sup_counts c = sup_count(m->sup);

	if (c.stopping || c.leaving) {
		if (upgrade_is_under_way(m))
			give_up(m);
	} else if (u->passed && !c.on_trial && !template_is_busy(m)) {
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
		fail(m, err, "");
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
	fail(m, err, "");
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
	if (u->passed && !c.on_trial && !c.stopping && !c.leaving &&
	    !template_is_busy(m)) {
		u->passed = false;
		change_program(m);
	}
	pthread_sigmask(SIG_SETMASK, &was, NULL);
}

/* A later reload that is on trial ends ours. */
void
upgrade_reload_over(struct master *m)
{
	struct upgrade *u = &m->upgrade;

	if (u->from == NULL || sup_count(m->sup).on_trial)
		return;
	control_over(m->control, WAIT_UPGRADED);
	free(u->from);
	u->from = NULL;
}
