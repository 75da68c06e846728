#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/loop_memory.h"
#include "common/scoreboard.h"
#include "common/title.h"
#include "conf/runtime.h"
#include "conf/settings.h"
#include "master/activation.h"
#include "master/carry_out.h"
#include "master/control.h"
#include "master/daemon.h"
#include "master/exit_text.h"
#include "master/listen.h"
#include "master/master.h"
#include "master/signals.h"
#include "master/template.h"
#include "master/watch.h"

/* What a worker needs besides connections and listeners. */
#define FDS_SPARE 64

/* Of all that a master has at its start, many times over. */
#define REHEARSAL_BYTES (2u << 20)
/* That its loop watches: a channel each worker, and what is its own. */
#define LOOP_FDS (SUP_SLOTS_MAX + 256u)

_Static_assert(SUP_SLOTS_MAX == SCORE_SLOTS, "a slot is a slot in both");

static msec_t
now_ms(void)
{
	return clock_now_ns() / NS_PER_MS;
}

struct deployment *
master_deployment(const struct master *m, unsigned generation)
{
	struct deployment *d = m->deployments;

	while (d != NULL && d->generation != generation)
		d = d->next;
	return d;
}

static void
on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)w;
	(void)revents;
	master_feed(ev_userdata(loop), &(struct sup_event){ .kind = SUP_TICK });
}

static void
set_timer(struct master *m, msec_t wake_at)
{
	msec_t now = now_ms();

	ev_timer_stop(m->loop, &m->tick);
	if (wake_at == 0)
		return;
	ev_now_update(m->loop);
	ev_timer_set(&m->tick,
	    wake_at > now ? (double)(wake_at - now) / 1000.0 : 0.0, 0.0);
	ev_timer_start(m->loop, &m->tick);
}

/* The kernel is to queue no connection that nobody will accept. */
static void
stop_listening(const struct master *m)
{
	for (struct deployment *d = m->deployments; d != NULL; d = d->next)
		deployment_stop_listening(d);
}

static void
follow(struct master *m, struct sup_plan plan)
{
	struct sup_event failed = { .kind = SUP_SPAWN_FAILED };
	struct sup_counts counts;

	for (;;) {
		if (sup_count(m->sup).stopping)
			stop_listening(m); /* before the workers hear of it */
		for (size_t i = 0; i < plan.n; i++)
			carry_out(m, &plan.act[i]);
		if (sup_count(m->sup).stopping)
			template_dismiss(m, 0); /* they hold listeners */
		if (m->n_unspawned == 0)
			break;
		failed.slot = m->unspawned[--m->n_unspawned];
		plan = sup_step(m->sup, &failed, now_ms());
	}
	set_timer(m, plan.wake_at);
	counts = sup_count(m->sup);
	if (counts.leaving || counts.stopping)
		notify_stopping(m);
	upgrade_step(m);
}

void
master_feed(struct master *m, const struct sup_event *ev)
{
	follow(m, sup_step(m->sup, ev, now_ms()));
	if (sup_count(m->sup).stopping || sup_count(m->sup).leaving)
		title_set("master [%s] draining", m->source_name);
}

/* "worker 1 (4711) was killed by SIGSEGV (core dumped); replaced in 0.1 s" */
static void
log_exit(struct master *m, const struct child *c, const char *how, msec_t wait)
{
	char text[sizeof m->trouble];
	int n;

	snprintf(text, sizeof text, "worker %u (%d) %s%s%s", c->slot,
	    (int)c->pid, how, c->reason[0] != '\0' ? ": " : "", c->reason);
	n = log_first_line(text);
	if (c->leaving) {
		log_info("%.*s", n, text);
		return;
	}
	memcpy(m->trouble, text, sizeof text);
	if (wait > 0)
		log_errorx("%.*s; replaced in %.1f s", n, text,
		    (double)wait / 1000.0);
	else
		log_errorx("%.*s", n, text);
}

/* Says whether the kernel seems to have done it for want of memory. */
static void
add_oom(struct master *m, const struct child *c, int status, char *how,
    size_t how_bytes)
{
	size_t n = strlen(how);

	oom_look(&m->oom, oom_kills(), now_ms());
	if (c->killed || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		return;
	if (oom_explains(&m->oom))
		snprintf(how + n, how_bytes - n,
		    " (out of memory? The cgroup's oom_kill count rose)");
}

void
master_child_exited(struct master *m, struct child *c, int status)
{
	struct sup_event ev = { .kind = SUP_EXITED,
		.slot = c->slot,
		.fate = exit_fate(status) };
	struct sup_plan plan;
	msec_t now = now_ms();
	char how[96];

	m->child[c->slot] = NULL;
	SCORE_SET(&m->scoreboard->slot[c->slot], state, SCORE_EMPTY);
	plan = sup_step(m->sup, &ev, now);
	exit_text(status, how, sizeof how);
	add_oom(m, c, status, how, sizeof how);
	log_exit(m, c, how, sup_wait(m->sup, c->slot, now));
	child_free(&c);
	follow(m, plan);
	master_reload_settle(m);
}

void
master_shed(struct master *m, const struct deployment *keep)
{
	for (unsigned i = 0; i < SUP_SLOTS_MAX; i++)
		if (m->child[i] != NULL)
			fd_close(&m->child[i]->channel_fd);
	for (struct deployment *d = m->deployments; d != NULL; d = d->next) {
		if (d == keep)
			continue;
		for (size_t i = 0; i < d->n_listeners; i++)
			if (!deployment_has(keep, d->listeners[i]))
				close(listener_fd(d->listeners[i]));
		logs_close(&d->logs);
	}
	fd_close(&m->pidfile.fd);
	fd_close(&m->scoreboard_fd);
	notify_close(&m->notify);
	activation_shed();
	upgrade_shed(&m->upgrade);
	template_shed(m);
	daemon_shed(m->daemon);
	control_shed(m->control);
}

static void
look_up_user(struct master *m, const struct settings *s)
{
	char err[256];
	bool root = geteuid() == 0;

	if (priv_lookup(&m->priv, s->user, s->group, err, sizeof err) < 0)
		fatalx("cannot run as user \"%s\", group \"%s\": %s", s->user,
		    s->group, err);
	if (!root && m->priv.uid == geteuid() && m->priv.gid == getegid())
		m->priv.drop = false; /* we are who we are to become */
	if (!root && m->priv.drop)
		fatalx("server.user and server.group need a start as root");
	if (root && (!m->priv.drop || m->priv.uid == 0))
		log_warnx("workers run as root: set server.user");
	m->priv.no_new_privs = s->no_new_privs;
}

static void
raise_fd_limit(const struct settings *s)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warn("cannot raise the limit of open files");
	else if (s->connections + s->bind.n + FDS_SPARE > limit.rlim_cur)
		log_warnx("server.connections = %u is more than the limit of "
			  "%llu open files allows",
		    s->connections, (unsigned long long)limit.rlim_cur);
}

static void
settle_in(struct master *m, const struct settings *s)
{
	char err[256];

	look_up_user(m, s);
	raise_fd_limit(s);
	umask((mode_t)s->umask);
	if (s->chdir[0] != '\0' && chdir(s->chdir) < 0)
		fatal("cannot change to server.chdir = %s", s->chdir);
	if (s->pidfile[0] != '\0' &&
	    pidfile_open(&m->pidfile, s->pidfile, err, sizeof err) < 0)
		fatalx("pidfile %s: %s", s->pidfile, err);
	priv_limit_master(&m->priv);
}

static void
make_room(struct master *m)
{
	if (loop_memory_reserve(LOOP_FDS) < 0)
		fatal("cannot start");
	m->loop = ev_default_loop(EVFLAG_NOENV);
	m->sup = sup_new(SUP_SLOTS_MAX);
	m->scoreboard = scoreboard_new(&m->scoreboard_fd);
	m->child = calloc(SUP_SLOTS_MAX, sizeof(struct child *));
	m->unspawned = calloc(SUP_SLOTS_MAX, sizeof *m->unspawned);
	if (m->loop == NULL || m->sup == NULL || m->scoreboard == NULL ||
	    m->child == NULL || m->unspawned == NULL)
		fatal("cannot start");
	ev_init(&m->tick, on_tick);
	ev_set_priority(&m->tick, EV_MINPRI); /* what is here is in time */
	watch_init(m);
	m->oom = (struct oom){ .count = oom_kills() };
}

static void
deploy_first(struct master *m, struct settings *s)
{
	char err[512];
	struct deployment *d =
	    deployment_new(s, NULL, &m->priv, err, sizeof err);

	if (d == NULL) {
		pidfile_close(&m->pidfile);
		fatalx("%s", err);
	}
	d->generation = m->last_generation = m->serving = 1;
	m->deployments = d;
	m->first = d->settings;
	d->keeps_settings = true;
	m->log_is_startup =
	    !m->is_daemon && strcmp(d->settings->error_log, "stderr") == 0;
	if (m->is_daemon && strcmp(d->settings->error_log, "stderr") == 0)
		log_warnx("a daemon has no stderr: set log.error to a file");
	log_set_fd(d->logs.error_fd);
	log_set_level((enum log_level)d->settings->log_level);
}

/* A path that the operator chose must be ours at a first start.  The default
 * one is the same for every server of a user: the first has it. */
static void
open_control(struct master *m)
{
	const struct settings *s = m->first;
	char err[512];

	if (control_open(&m->control, m, s, err, sizeof err) == 0)
		return;
	if (m->committed || runtime_is_default(s)) {
		log_warnx("no control socket, so no preforkctl: %s; set "
			  "admin.control",
		    err);
		return;
	}
	log_set_fd(m->daemon->error_fd); /* the log may be a file by now */
	free_deployments(m, 0, true);
	pidfile_close(&m->pidfile);
	fatalx("no control socket: %s", err);
}

/* Until ACT_EXIT, even without a worker. */
static void
run_loop(struct master *m)
{
	ev_ref(m->loop);
	while (!m->over) {
		ev_run(m->loop, 0);
		if (!m->over)
			upgrade_take_over(m);
	}
	signals_stop(m->loop);
}

static void
serve(struct master *m)
{
	const struct deployment *d = m->deployments;
	unsigned n = d->settings->workers;

	log_info("prefork %s starts with %u worker%s", PREFORK_VERSION, n,
	    n == 1 ? "" : "s");
	log_listeners(d, NULL);
	activation_log_unused();
	notify_start(m);
	signals_start(m, m->loop);
	master_feed(m,
	    &(struct sup_event){ .kind = SUP_START,
		.generation = d->generation,
		.conf = deployment_conf(d) });
	run_loop(m);
}

static void
clean_up(struct master *m)
{
	log_info("exited");
	control_close(&m->control);
	template_end_all(m);
	log_set_fd(STDERR_FILENO);
	free_deployments(m, 0, true);
	settings_free(&m->first);
	pidfile_close(&m->pidfile);
	sup_free(&m->sup);
	scoreboard_free(&m->scoreboard);
	fd_close(&m->scoreboard_fd);
	upgrade_fini(&m->upgrade);
	free(m->child);
	free(m->unspawned);
	ev_loop_destroy(m->loop);
	notify_close(&m->notify);
	daemon_report(m->daemon, m->status);
}

int
master_run(const struct settings_source *source, struct settings *s,
    const char *source_name, struct daemon *daemon)
{
	struct master m = { .source = *source,
		.source_name = source_name,
		.pidfile = { .fd = -1 },
		.is_daemon = daemon->report_fd >= 0,
		.daemon = daemon,
		.started_ns = clock_now_ns() };

	log_set_who("master");
	notify_open(&m.notify);
	upgrade_init(&m.upgrade);
	title_set("master [%s]", source_name);
	settle_in(&m, s);
	make_room(&m);
	deploy_first(&m, s);
	open_control(&m);
	serve(&m);
	clean_up(&m);
	return m.status;
}

int
master_rehearse(void)
{
	if (loop_memory_reserve(LOOP_FDS) < 0)
		return -1;
	return mmap(NULL, REHEARSAL_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ?
	    -1 :
	    0;
}

int
master_take_over(const struct settings_source *source, const char *source_name,
    int state_fd)
{
	struct daemon daemon = DAEMON_DONE;
	struct master m = { .source = *source,
		.source_name = source_name,
		.daemon = &daemon,
		.started_ns = clock_now_ns() };
	sigset_t none;

	log_set_who("master");
	notify_open(&m.notify);
	upgrade_init(&m.upgrade);
	title_set("master [%s]", source_name);
	make_room(&m);
	master_adopt(&m, state_fd);
	if (m.control == NULL)
		open_control(&m);
	notify_start(&m);
	signals_start(&m, m.loop);
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	/* Workers may have ended while nobody was there to hear of it. */
	ev_feed_signal_event(m.loop, SIGCHLD);
	set_timer(&m, now_ms());
	if (sup_count(m.sup).paused)
		upgrade_reload_over(&m);
	else
		master_reload(&m);
	run_loop(&m);
	clean_up(&m);
	return m.status;
}
