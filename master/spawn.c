#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "common/channel.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "conf/settings.h"
#include "master/master.h"
#include "master/signals.h"
#include "master/spawn.h"
#include "worker/worker.h"

/* worker_main() or template_main(). */
typedef int role_fn(const struct heritage *);

int
spawn_set_environment(const struct settings *s)
{
	for (size_t i = 0; i < s->n_env; i++)
		/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
		if (setenv(s->env[i].key, s->env[i].value, 1) < 0)
			return -1;
	return 0;
}

/* Returns only when the worker cannot boot. */
static int
refuse(const struct heritage *h, const char *why)
{
	channel_send(h->channel_fd, CHANNEL_FAILED, why, NULL, 0);
	return WORKER_CANNOT_BOOT;
}

/* A core holds what clients sent, their secrets too.  The hard limit as well:
 * an application is not to raise it. */
static void
limit_core(uint64_t most)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) < 0)
		return;
	if (limit.rlim_max > most)
		limit.rlim_max = most;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_CORE, &limit) < 0)
		log_warn("limit_core is not kept");
}

/* All that lies between fork and work, in the order that matters.  Returns an
 * exit status: the caller must not run our exit handlers. */
static int
become(struct master *m, const struct heritage *h, const struct deployment *d,
    role_fn *role, const sigset_t *mask)
{
	char err[128];

	signals_stop(m->loop); /* to SIG_DFL, or the master's handler runs */
	ev_loop_destroy(m->loop);
	master_shed(m, d);
	/* what an application prints belongs to the error log */
	dup2(d->logs.error_fd, STDOUT_FILENO);
	dup2(d->logs.error_fd, STDERR_FILENO);
	log_set_fd(d->logs.error_fd);
	log_set_level((enum log_level)d->settings->log_level);
	pthread_sigmask(SIG_SETMASK, mask, NULL);
	if (spawn_set_environment(d->settings) < 0)
		return refuse(h, "out of memory for the environment");
	limit_core(d->settings->limit_core);
	if (priv_drop(&m->priv, err, sizeof err) < 0)
		return refuse(h, err);
	if (m->priv.drop)
		prctl(PR_SET_DUMPABLE, 1); /* cores and debuggers, as before */
	return role(h);
}

/* A worker ends by _exit(), where LeakSanitizer does not look by itself. */
static void
leaks_check(void)
{
#ifdef __SANITIZE_ADDRESS__
	__lsan_do_leak_check();
#endif
}

/* A process in that role and our end of its channel; -1 and errno. */
static pid_t
spawn(struct master *m, unsigned slot, const struct deployment *d,
    role_fn *role, int *channel_fd)
{
	struct heritage h = { .settings = d->settings,
		.listeners = d->inherited,
		.n_listeners = d->n_listeners,
		.scoreboard = m->scoreboard,
		.slot = slot,
		.generation = d->generation,
		.access_log_fd = d->logs.access_fd };
	int channel[2], status;
	sigset_t all, was;
	pid_t pid;

	if (channel_pair(channel) < 0)
		return -1;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &was);
	pid = fork();
	if (pid == 0) {
		close(channel[0]);
		h.channel_fd = channel[1];
		status = become(m, &h, d, role, &was);
		leaks_check();
		_exit(status);
	}
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	fd_close(&channel[1]);
	if (pid < 0)
		fd_close(&channel[0]);
	*channel_fd = channel[0];
	return pid;
}

pid_t
spawn_template(struct master *m, const struct deployment *d, int *channel_fd)
{
	return spawn(m, 0, d, template_main, channel_fd);
}

void
spawn_announce(struct master *m, unsigned slot, unsigned generation)
{
	struct score_slot *score = &m->scoreboard->slot[slot];

	if (slot >= scoreboard_used(m->scoreboard))
		SCORE_SET(m->scoreboard, n_used, slot + 1);
	SCORE_SET(score, generation, generation);
	SCORE_SET(score, connections, 0);
	SCORE_SET(score, accepts, 0);
	scoreboard_addresses_clear(m->scoreboard, slot);
	SCORE_SET(score, state, SCORE_BOOTING);
}

int
spawn_enlist(struct master *m, unsigned slot, const struct deployment *d,
    pid_t pid, int channel_fd)
{
	const struct score_slot *score = &m->scoreboard->slot[slot];
	struct child *c = child_new(m, pid, slot, d->generation, channel_fd);

	m->child[slot] = c;
	if (c == NULL)
		return -1;
	c->requests_before = SCORE_GET(score, requests);
	c->errors_before = SCORE_GET(score, errors_5xx);
	c->stall_timeout = d->settings->stall_timeout_ms;
	return 0;
}

int
spawn_worker(struct master *m, unsigned slot, const struct deployment *d)
{
	int channel_fd = -1;
	pid_t pid;

	spawn_announce(m, slot, d->generation);
	pid = spawn(m, slot, d, worker_main, &channel_fd);
	if (pid > 0 && spawn_enlist(m, slot, d, pid, channel_fd) == 0)
		return 0;
	log_warn("cannot start worker %u", slot);
	if (pid > 0)
		kill(pid, SIGKILL); /* reaped by libev, known to nobody */
	fd_close(&channel_fd);
	SCORE_SET(&m->scoreboard->slot[slot], state, SCORE_EMPTY);
	return -1;
}
