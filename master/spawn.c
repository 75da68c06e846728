#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "common/channel.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "common/title.h"
#include "conf/settings.h"
#include "master/master.h"
#include "master/signals.h"
#include "master/spawn.h"
#include "worker/worker.h"

static void
name_worker(const struct heritage *h)
{
	char who[32];

	snprintf(who, sizeof who, "worker %u", (unsigned)h->slot);
	log_set_who(who);
	title_set("worker %u gen %u booting", (unsigned)h->slot,
	    (unsigned)h->generation);
}

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

/* All that lies between fork and work, in the order that matters.  Returns an
 * exit status: the caller must not run our exit handlers. */
static int
become_worker(struct master *m, const struct heritage *h,
    const struct deployment *d, const sigset_t *mask)
{
	char err[128];

	signals_stop(m->loop); /* to SIG_DFL, or the master's handler runs */
	ev_loop_destroy(m->loop);
	master_shed(m, d, h->slot);
	/* what an application prints belongs to the error log */
	dup2(d->logs.error_fd, STDOUT_FILENO);
	dup2(d->logs.error_fd, STDERR_FILENO);
	log_set_fd(d->logs.error_fd);
	log_set_level((enum log_level)d->settings->log_level);
	name_worker(h);
	pthread_sigmask(SIG_SETMASK, mask, NULL);
	if (spawn_set_environment(d->settings) < 0)
		return refuse(h, "out of memory for the environment");
	if (priv_drop(&m->priv, err, sizeof err) < 0)
		return refuse(h, err);
	if (m->priv.drop)
		prctl(PR_SET_DUMPABLE, 1); /* cores, as before */
	return worker_main(h);
}

/* A worker ends by _exit(), where LeakSanitizer does not look by itself. */
static void
leaks_check(void)
{
#ifdef __SANITIZE_ADDRESS__
	__lsan_do_leak_check();
#endif
}

int
spawn_worker(struct master *m, unsigned slot, struct deployment *d)
{
	struct heritage h = { .settings = d->settings,
		.listeners = d->inherited,
		.n_listeners = d->n_listeners,
		.scoreboard = m->scoreboard,
		.slot = slot,
		.generation = d->generation,
		.access_log_fd = d->logs.access_fd };
	struct score_slot *score = &m->scoreboard->slot[slot];
	uint64_t requests = SCORE_GET(score, requests),
		 errors = SCORE_GET(score, errors_5xx);
	sigset_t all, was;
	int channel[2] = { -1, -1 }, status;
	pid_t pid;

	if (channel_pair(channel) < 0)
		goto fail;
	if (slot >= SCORE_GET(m->scoreboard, n_used))
		SCORE_SET(m->scoreboard, n_used, slot + 1);
	SCORE_SET(score, generation, d->generation);
	SCORE_SET(score, connections, 0);
	SCORE_SET(score, state, SCORE_BOOTING);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &was);
	pid = fork();
	if (pid == 0) {
		close(channel[0]);
		h.channel_fd = channel[1];
		status = become_worker(m, &h, d, &was);
		leaks_check();
		_exit(status);
	}
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (pid < 0)
		goto fail;
	fd_close(&channel[1]);
	m->child[slot] = child_new(m, pid, slot, d->generation, channel[0]);
	if (m->child[slot] != NULL) {
		m->child[slot]->requests_before = requests;
		m->child[slot]->errors_before = errors;
		m->child[slot]->stall_timeout = d->settings->stall_timeout_ms;
		return 0;
	}
	kill(pid, SIGKILL); /* reaped by libev, known to nobody */
fail:
	log_warn("cannot start worker %u", slot);
	SCORE_SET(score, state, SCORE_EMPTY);
	fd_close(&channel[0]);
	fd_close(&channel[1]);
	return -1;
}
