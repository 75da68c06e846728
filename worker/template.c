/*
 * The template of a generation (server.preload): a process that has opened the
 * applications and serves nobody.  Workers are forks of it, so that they share
 * what was loaded.
 *
 *   master     --FORK(slot, channel)-->  template
 *                                        template forks A, A forks the worker
 *   template   --FORKED(pid)-->          master: watches the process
 *   master     --GO-->                   template lets both run: A exits
 *
 * A ends only when the master knows the process, which then becomes its child
 * (the master is a subreaper): no exit status can be lost.  A worker that hears
 * nothing ends: A or the template has died, and the master does not know of it.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/fd.h"
#include "common/heritage.h"
#include "common/log.h"
#include "common/title.h"
#include "conf/settings.h"
#include "worker/core.h"
#include "worker/fork_guard.h"
#include "worker/orders.h"
#include "worker/worker.h"

#define NUMBER_BASE 10

struct template
{
	struct heritage heritage; /* in a worker: its own */
	struct worker worker;     /* what it is going to be */
	unsigned n_threads;       /* that were warned of */
};

/* Between the template, [0], and the two that it makes, [1]. */
struct gates {
	int born[2]; /* the process ID comes; held by A alone, so that its end,
			too, is heard */
	int go[2];   /* a byte for each of them */
};

/* What a fork leaves us in: one of three processes. */
enum self { TEMPLATE, WORKER, WORKER_UNKNOWN };

/* ---- threads that will not be there -------------------------------------- */

/* The names of all but the first, into names; how many they are. */
static unsigned
other_threads(char *names, size_t size)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *e;
	size_t at = 0;
	unsigned n = 0;

	names[0] = '\0';
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own */
	while (tasks != NULL && (e = readdir(tasks)) != NULL) {
		char path[64 + sizeof e->d_name], name[32] = "";
		FILE *in;

		if (e->d_name[0] == '.' ||
		    strtol(e->d_name, NULL, NUMBER_BASE) == (long)getpid())
			continue;
		snprintf(path, sizeof path, "/proc/self/task/%s/comm",
		    e->d_name);
		in = fopen(path, "re");
		if (in == NULL)
			continue; /* it ended */
		if (fgets(name, sizeof name, in) != NULL)
			name[strcspn(name, "\n")] = '\0';
		fclose(in);
		at += (size_t)snprintf(names + at, size - at, "%s%s",
		    n++ > 0 ? ", " : "", name);
		if (at >= size)
			at = size - 1;
	}
	if (tasks != NULL)
		closedir(tasks);
	return n;
}

static void
warn_of_threads(struct template *t)
{
	char names[512];
	unsigned n = other_threads(names, sizeof names);

	if (n > t->n_threads)
		log_warnx("preload: %u thread%s of the applications will not "
			  "be in the workers, because a fork copies only the "
			  "one that calls it: %s",
		    n, n == 1 ? "" : "s", names);
	t->n_threads = n;
}

/* ---- forking ------------------------------------------------------------- */

static void
before_fork(const struct apps *apps)
{
	for (const struct module *m = apps->modules; m != NULL; m = m->next)
		if (m->calls.before_fork != NULL)
			m->calls.before_fork(m->state);
}

static void
after_fork_parent(const struct apps *apps)
{
	for (const struct module *m = apps->modules; m != NULL; m = m->next)
		if (m->calls.after_fork_parent != NULL)
			m->calls.after_fork_parent(m->state);
}

/* 0, or an enum worker_exit with the reason in err.  All of them are called, so
 * that all of them can be closed. */
static int
after_fork_child(const struct apps *apps, char *err, size_t err_size)
{
	int status = WORKER_OK;

	for (const struct module *m = apps->modules; m != NULL; m = m->next)
		if (m->calls.after_fork_child != NULL &&
		    m->calls.after_fork_child(m->state) != 0)
			status = apps_refused(apps, m, err, err_size);
	return status;
}

/* true: so many bytes came. */
static bool
gate_read(int gate, void *to, size_t n)
{
	ssize_t got;

	do
		got = read(gate, to, n);
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)n;
}

static bool
gate_write(int gate, const void *from, size_t n)
{
	return send(gate, from, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static void
gates_close(struct gates *g, int end)
{
	fd_close(&g->born[end]);
	fd_close(&g->go[end]);
}

static bool
gates_open(struct gates *g)
{
	*g = (struct gates){ .born = { -1, -1 }, .go = { -1, -1 } };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, g->born) == 0 &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, g->go) == 0)
		return true;
	gates_close(g, 0);
	gates_close(g, 1);
	return false;
}

/* The process between, which only hands its child over: its process ID, or the
 * negative errno. */
_Noreturn static void
hand_over(const struct gates *g, int worker)
{
	char go;

	if (gate_write(g->born[1], &worker, sizeof worker))
		(void)gate_read(g->go[1], &go, 1);
	_exit(0);
}

/* In a child of the template: forks again. */
static enum self
become(struct template *t, struct gates *g, int channel_fd, unsigned slot)
{
	bool known;
	char go;
	pid_t pid;

	fork_guard_close(&t->heritage.channel_fd); /* so that its end is seen */
	pid = fork();
	if (pid != 0)
		hand_over(g, pid > 0 ? (int)pid : -errno);
	fd_close(&g->born[1]);
	fork_guard_own_fork(false);
	fork_guard_add(channel_fd);
	t->heritage.channel_fd = channel_fd;
	t->heritage.slot = slot;
	worker_name(&t->heritage);
	known = gate_read(g->go[1], &go, 1);
	fd_close(&g->go[1]);
	return known ? WORKER : WORKER_UNKNOWN;
}

/* false: the master is gone. */
static bool
next_message(const struct template *t, struct channel_message *m)
{
	struct pollfd p = { .fd = t->heritage.channel_fd, .events = POLLIN };
	int n;

	while ((n = channel_receive(p.fd, m)) < 0) {
		if (errno != EAGAIN)
			return false;
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return false;
	}
	return n > 0;
}

/* The process ID, or the negative errno. */
static void
answer(const struct template *t, int worker)
{
	char text[16];

	snprintf(text, sizeof text, "%d", worker);
	if (worker > 0)
		(void)channel_send(t->heritage.channel_fd, CHANNEL_FORKED, text,
		    NULL, 0);
	else
		(void)channel_send(t->heritage.channel_fd, CHANNEL_NOT_FORKED,
		    strerrordesc_np(-worker), NULL, 0);
}

static void
disobey(const struct channel_message *m)
{
	log_warnx("unexpected message %d from the master", (int)m->kind);
}

/* false: it is not wanted after all, or the master is gone. */
static bool
wait_for_go(const struct template *t)
{
	struct channel_message m;

	while (next_message(t, &m))
		if (m.kind == CHANNEL_GO || m.kind == CHANNEL_QUIT)
			return m.kind == CHANNEL_GO;
		else if (m.kind == CHANNEL_REOPEN)
			orders_reopen_logs(&m, t->heritage.access_log_fd);
		else
			disobey(&m);
	return false;
}

/* From the fork to the end of the process between. */
static void
introduce(const struct template *t, struct gates *g, pid_t between)
{
	int worker;

	if (!gate_read(g->born[0], &worker, sizeof worker))
		worker = -ECHILD; /* it was killed */
	answer(t, worker);
	if (worker > 0 && wait_for_go(t))
		(void)gate_write(g->go[0], "go", 2);
	gates_close(g, 0);
	while (waitpid(between, NULL, 0) < 0 && errno == EINTR)
		continue;
}

static enum self
make_worker(struct template *t, const struct channel_message *m)
{
	unsigned slot = (unsigned)strtoul(m->text, NULL, NUMBER_BASE);
	int channel_fd = m->fd[0], why;
	struct gates gates;
	pid_t between;

	if (!gates_open(&gates)) {
		answer(t, -errno);
		fd_close(&channel_fd);
		return TEMPLATE;
	}
	before_fork(&t->worker.apps);
	warn_of_threads(t);
	fork_guard_own_fork(true);
	between = fork();
	why = errno;
	if (between == 0) {
		gates_close(&gates, 0);
		return become(t, &gates, channel_fd, slot);
	}
	fork_guard_own_fork(false);
	after_fork_parent(&t->worker.apps);
	gates_close(&gates, 1);
	fd_close(&channel_fd);
	if (between > 0) {
		introduce(t, &gates, between); /* which closes them */
		return TEMPLATE;
	}
	answer(t, -why);
	gates_close(&gates, 0);
	return TEMPLATE;
}

/* ---- its life ------------------------------------------------------------ */

static enum self
obey(struct template *t)
{
	enum self self = TEMPLATE;
	struct channel_message m;

	while (self == TEMPLATE && next_message(t, &m))
		if (m.kind == CHANNEL_FORK)
			self = make_worker(t, &m);
		else if (m.kind == CHANNEL_REOPEN)
			orders_reopen_logs(&m, t->heritage.access_log_fd);
		else
			disobey(&m);
	return self;
}

static int
serve(struct template *t)
{
	char err[CHANNEL_TEXT_MAX] = "";
	int status = after_fork_child(&t->worker.apps, err, sizeof err);

	return worker_serve(&t->worker, status, err);
}

static void
tell_why(const struct template *t, const char *why)
{
	(void)channel_send(t->heritage.channel_fd, CHANNEL_FAILED, why, NULL,
	    0);
}

int
template_main(const struct heritage *h)
{
	static struct template t;
	char err[CHANNEL_TEXT_MAX] = "";
	int status;

	t.heritage = *h;
	log_set_who("template");
	title_set("template gen %u loading", (unsigned)h->generation);
	status = worker_load(&t.worker, &t.heritage, err, sizeof err);
	if (status != WORKER_OK) {
		tell_why(&t, err);
		apps_close(&t.worker.apps);
		return status;
	}
	title_set("template gen %u", (unsigned)h->generation);
	(void)channel_send(h->channel_fd, CHANNEL_READY, "", NULL, 0);
	switch (obey(&t)) {
	case TEMPLATE: break; /* the master closed the channel, or is gone */
	case WORKER: return serve(&t);
	case WORKER_UNKNOWN:
		tell_why(&t, "its template died");
		_exit(WORKER_CANNOT_BOOT); /* the master may wait for it */
	}
	return WORKER_OK;
}
