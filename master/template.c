#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "master/exit_text.h"
#include "master/master.h"
#include "master/spawn.h"
#include "master/template.h"

#define NUMBER_BASE       10
#define UNKNOWN_WORKER_MS 1000

/* ---- the slots that wait ------------------------------------------------- */

static void
remove_slot(struct template *t, unsigned at)
{
	t->n_waiting--;
	memmove(&t->waiting[at], &t->waiting[at + 1],
	    (t->n_waiting - at) * sizeof t->waiting[0]);
}

/* It gets no worker; whoever calls sees to it that the supervisor hears. */
static unsigned
give_back(struct template *t, unsigned at)
{
	unsigned slot = t->waiting[at];

	remove_slot(t, at);
	SCORE_SET(&t->master->scoreboard->slot[slot], state, SCORE_EMPTY);
	if (at == 0) {
		fd_close(&t->worker_fd);
		t->unwanted = false;
	}
	return slot;
}

/* Outside of a plan: the first one gets no worker. */
static void
fail_first(struct template *t, const struct sup_event *ev)
{
	struct sup_event failed = *ev;

	failed.slot = give_back(t, 0);
	master_feed(t->master, &failed);
}

static void
fail_first_spawn(struct template *t)
{
	fail_first(t, &(struct sup_event){ .kind = SUP_SPAWN_FAILED });
}

/* -1: there will be no worker for the first one. */
static int
ask_for_first(struct template *t)
{
	int channel[2], sent;
	char text[16];

	if (!t->ready || t->channel_fd < 0 || t->n_waiting == 0 ||
	    t->worker_fd >= 0)
		return 0;
	if (channel_pair(channel) < 0) {
		log_warn("cannot start worker %u", t->waiting[0]);
		return -1;
	}
	snprintf(text, sizeof text, "%u", t->waiting[0]);
	sent = channel_send(t->channel_fd, CHANNEL_FORK, text, &channel[1], 1);
	fd_close(&channel[1]);
	t->worker_fd = channel[0];
	if (sent == 0 || errno == EPIPE || errno == ECONNRESET)
		return 0; /* if it died, its exit tells */
	log_warn("cannot start worker %u", t->waiting[0]);
	return -1;
}

static void
ask(struct template *t)
{
	while (ask_for_first(t) < 0)
		fail_first_spawn(t);
}

/* ---- what it says -------------------------------------------------------- */

/* Watched first, then let go: its exit cannot be missed.  When nobody hears
 * that, the template has died: the worker ends as well, and the slot waits for
 * the exit of the template. */
static void
let_go(struct template *t, pid_t pid)
{
	struct master *m = t->master;
	unsigned slot = t->waiting[0];

	if (spawn_enlist(m, slot, master_deployment(m, t->generation), pid,
		t->worker_fd) < 0) {
		(void)channel_send(t->channel_fd, CHANNEL_QUIT, "", NULL, 0);
		fail_first_spawn(t);
		return;
	}
	t->worker_fd = -1; /* the child's now */
	if (channel_send(t->channel_fd, CHANNEL_GO, "", NULL, 0) == 0)
		remove_slot(t, 0);
	else
		child_free(&m->child[slot]);
	upgrade_step(m);
}

static void
on_forked(struct template *t, const char *text)
{
	pid_t pid = (pid_t)strtol(text, NULL, NUMBER_BASE);

	if (t->worker_fd < 0 || pid <= 0) {
		log_warnx("template (%d) made a process that nobody wanted",
		    (int)t->pid);
	} else if (t->unwanted) {
		(void)channel_send(t->channel_fd, CHANNEL_QUIT, "", NULL, 0);
		fail_first_spawn(t);
	} else {
		let_go(t, pid);
	}
}

static void
take(struct template *t, const struct channel_message *m)
{
	switch (m->kind) {
	case CHANNEL_READY:
		log_info("template (%d) ready, generation %u", (int)t->pid,
		    t->generation);
		t->ready = true;
		return;
	case CHANNEL_FAILED:
		snprintf(t->reason, sizeof t->reason, "%s", m->text);
		return;
	case CHANNEL_FORKED: on_forked(t, m->text); return;
	case CHANNEL_NOT_FORKED:
		if (t->worker_fd < 0)
			return;
		log_warnx("cannot start worker %u: %s", t->waiting[0], m->text);
		fail_first_spawn(t);
		return;
	case CHANNEL_RECYCLE:
	case CHANNEL_RECYCLE_NOW:
	case CHANNEL_TOO_LARGE:
	case CHANNEL_RETIRE:
	case CHANNEL_QUIT:
	case CHANNEL_REOPEN:
	case CHANNEL_PING:
	case CHANNEL_FORK:
	case CHANNEL_GO:
	case CHANNEL_CLOSED:
	case CHANNEL_KIND_END: break;
	}
	log_warnx("template (%d) sent message %d, which is ours", (int)t->pid,
	    (int)m->kind);
}

static void
on_message(void *template, struct channel_message *m)
{
	take(template, m);
	ask(template);
}

static void
stop_listening(struct template *t)
{
	ev_io_stop(t->master->loop, &t->io);
	fd_close(&t->channel_fd);
}

static void
listen_to(struct template *t)
{
	int more = channel_hear(&t->channel_fd, on_message, t);

	if (more < 0)
		log_warn("channel of template (%d)", (int)t->pid);
	if (more <= 0)
		stop_listening(t);
}

static void
on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	(void)loop;
	(void)revents;
	listen_to(w->data);
}

/* ---- its end ------------------------------------------------------------- */

static void
unlink_template(struct template *t)
{
	struct template **at = &t->master->templates;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
}

/* A worker under way whom it had not told us of holds listeners until it hears
 * that its template has died, at once. */
static void
wait_for_worker(const struct template *t)
{
	struct pollfd p = { .fd = t->worker_fd }; /* for its end only */
	int n = -1;

	while (p.fd >= 0 && (n = poll(&p, 1, UNKNOWN_WORKER_MS)) < 0 &&
	    errno == EINTR)
		continue;
	if (n == 0)
		log_warnx("a worker that template (%d) was making does not end",
		    (int)t->pid);
}

/* It has died. */
static void
template_free(struct template *t)
{
	ev_child_stop(t->master->loop, &t->exit);
	stop_listening(t);
	wait_for_worker(t);
	fd_close(&t->worker_fd);
	free(t);
}

/* Those that wait for it fail with it. */
static void
log_exit(const struct template *t, int status)
{
	char how[64], text[TROUBLE_MAX];

	if (t->dismissed) {
		log_info("template (%d) ended, generation %u", (int)t->pid,
		    t->generation);
		return;
	}
	exit_text(status, how, sizeof how);
	snprintf(text, sizeof text, "template (%d) %s%s%s", (int)t->pid, how,
	    t->reason[0] != '\0' ? ": " : "", t->reason);
	if (t->killed) {
		log_info("%.*s", log_first_line(text), text);
	} else if (t->n_waiting > 0) {
		log_errorx("%.*s", log_first_line(text), text);
		memcpy(t->master->trouble, text, sizeof text);
	} else {
		log_warnx("%.*s; it is made anew when a worker is wanted",
		    log_first_line(text), text);
	}
}

static void
on_exit_status(struct ev_loop *loop, ev_child *w, int revents)
{
	struct template *t = w->data;

	(void)loop;
	(void)revents;
	listen_to(t); /* its last words */
	stop_listening(t);
	unlink_template(t);
	log_exit(t, w->rstatus);
	while (t->n_waiting > 0)
		fail_first(t,
		    &(struct sup_event){ .kind = SUP_EXITED,
			.fate = exit_fate(w->rstatus) });
	template_free(t);
}

static void
dismiss(struct template *t)
{
	struct master *m = t->master;
	int under_way = t->worker_fd;

	if (t->dismissed)
		return;
	t->dismissed = true;
	stop_listening(t);
	t->worker_fd = -1;
	while (t->n_waiting > 0)
		m->unspawned[m->n_unspawned++] = give_back(t, 0);
	t->worker_fd = under_way; /* template_free() waits for its end */
	kill(t->pid, SIGKILL);
}

void
template_dismiss(struct master *m, unsigned generation)
{
	for (struct template *t = m->templates; t != NULL; t = t->next)
		if (generation == 0 || t->generation == generation)
			dismiss(t);
}

void
template_end_all(struct master *m)
{
	struct template *t;

	template_dismiss(m, 0);
	while ((t = m->templates) != NULL) {
		while (waitpid(t->pid, NULL, 0) < 0 && errno == EINTR)
			continue;
		m->templates = t->next;
		template_free(t);
	}
}

/* ---- what is wanted of it ------------------------------------------------ */

static struct template *
find(const struct master *m, unsigned generation)
{
	struct template *t = m->templates;

	while (t != NULL &&
	    (t->generation != generation || t->dismissed || t->killed))
		t = t->next;
	return t;
}

static void
watch(struct template *t)
{
	ev_child_init(&t->exit, on_exit_status, t->pid, 0);
	t->exit.data = t;
	ev_child_start(t->master->loop, &t->exit);
	ev_io_init(&t->io, on_readable, t->channel_fd, EV_READ);
	t->io.data = t;
	ev_io_start(t->master->loop, &t->io);
}

/* Orphans of workers come to us, too, from now on; libev reaps whoever comes.
 */
static struct template *
start(struct master *m, struct deployment *d)
{
	struct template *t = calloc(1, sizeof *t);

	if (t == NULL || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
		free(t);
		return NULL;
	}
	t->master = m;
	t->generation = d->generation;
	t->since_ns = clock_now_ns();
	t->worker_fd = -1;
	t->pid = spawn_template(m, d, &t->channel_fd);
	if (t->pid < 0) {
		free(t);
		return NULL;
	}
	t->next = m->templates;
	m->templates = t;
	watch(t);
	return t;
}

int
template_spawn(struct master *m, unsigned slot, struct deployment *d)
{
	struct template *t = find(m, d->generation);

	if (t == NULL)
		t = start(m, d);
	if (t == NULL) {
		log_warn("cannot start a template for worker %u", slot);
		return -1;
	}
	spawn_announce(m, slot, d->generation);
	t->waiting[t->n_waiting++] = slot;
	/* behind others it has its turn when ask() is through with them */
	if (t->n_waiting > 1 || ask_for_first(t) == 0)
		return 0;
	give_back(t, 0);
	return -1;
}

static void
give_up(struct template *t)
{
	if (t->killed)
		return;
	snprintf(t->master->trouble, sizeof t->master->trouble,
	    "template (%d) was not ready within boot_timeout", (int)t->pid);
	log_warnx("%s: killed", t->master->trouble);
	t->killed = true;
	kill(t->pid, SIGKILL);
}

void
template_cancel(struct master *m, const struct sup_action *a)
{
	for (struct template *t = m->templates; t != NULL; t = t->next)
		for (unsigned i = 0; i < t->n_waiting; i++) {
			if (t->waiting[i] != a->slot)
				continue;
			if (a->why == WHY_BOOT_TIMEOUT) {
				give_up(t);
			} else if (i == 0 && t->worker_fd >= 0) {
				t->unwanted = true;
			} else {
				m->unspawned[m->n_unspawned++] =
				    give_back(t, i);
			}
			return;
		}
}

bool
template_is_busy(const struct master *m)
{
	for (const struct template *t = m->templates; t != NULL; t = t->next)
		if (t->n_waiting > 0)
			return true;
	return false;
}

/* The worker under way finds it in its channel. */
void
template_reopen(struct master *m, unsigned generation, const int *fds,
    size_t n_fds)
{
	const struct template *t = find(m, generation);

	if (t == NULL)
		return;
	if (t->channel_fd >= 0)
		(void)channel_send(t->channel_fd, CHANNEL_REOPEN, "", fds,
		    n_fds);
	if (t->worker_fd >= 0)
		(void)channel_send(t->worker_fd, CHANNEL_REOPEN, "", fds,
		    n_fds);
}

void
template_shed(struct master *m)
{
	for (struct template *t = m->templates; t != NULL; t = t->next) {
		fd_close(&t->channel_fd);
		fd_close(&t->worker_fd);
	}
}
