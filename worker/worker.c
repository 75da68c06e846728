#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/heritage.h"
#include "common/log.h"
#include "common/loop_memory.h"
#include "common/scoreboard.h"
#include "common/title.h"
#include "conf/settings.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/fork_guard.h"
#include "worker/http/h1_conn.h"
#include "worker/orders.h"
#include "worker/report.h"
#include "worker/request.h"
#include "worker/sandbox.h"
#include "worker/worker.h"

/* Numbers of fds besides those of connections, an application's among them. */
#define LOOP_FDS_OTHER 1024u
#define LINGER_STEP_NS (2 * NS_PER_S)
#define INTERRUPT_NS   (2 * NS_PER_S) /* then the worker is replaced */

/* ---- boot -------------------------------------------------------------- */

/* Workers are told what to do through the channel.  A signal sent to the whole
 * process group (^C in a terminal, a supervisor's stop) is the master's.  Not
 * SIG_IGN, which programs started by handlers would inherit. */
static void
on_signal(int signo)
{
	(void)signo;
}

static void
disregard_signals(void)
{
	static const int list[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1,
		SIGTTIN, SIGTTOU, SIGWINCH, SIGPIPE, SIGXFSZ };
	struct sigaction sa = { .sa_handler = on_signal,
		.sa_flags = SA_RESTART };

	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
		sigaction(list[i], &sa, NULL);
}

static void
on_turn(struct ev_loop *loop, ev_check *c, int revents)
{
	struct worker *w = c->data;

	(void)loop;
	(void)revents;
	w->now_ns = clock_now_ns();
	w->piece_reads = 0;
	h1_read_passed_over(w);
	SCORE_SET(w->score, heartbeat_ms, w->now_ns / NS_PER_MS);
}

static void
deadline_lists_init(struct worker *w)
{
	const struct settings *s = w->settings;
	const struct {
		struct deadline_list *list;
		uint64_t after_ns;
		deadline_fn *late;
	} lists[] = {
		{ &w->header, s->header_timeout_ms * NS_PER_MS, h1_head_late },
		{ &w->body, s->body_timeout_ms * NS_PER_MS, h1_body_late },
		{ &w->send, s->send_timeout_ms * NS_PER_MS, h1_send_late },
		{ &w->keepalive, s->keepalive_timeout_ms * NS_PER_MS,
		    h1_idle_late },
		{ &w->queue, s->queue_timeout_ms * NS_PER_MS, h1_queue_late },
		{ &w->linger, LINGER_STEP_NS, h1_linger_late },
		{ &w->interrupted, INTERRUPT_NS, h1_interrupted_late },
	};

	deadlines_init(&w->deadlines, w->loop);
	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
		deadline_list_init(&w->deadlines, lists[i].list,
		    lists[i].after_ns, lists[i].late, w);
	for (size_t i = 0; i < w->apps.n; i++) {
		struct pf_app *app = &w->apps.at[i];

		deadline_list_init(&w->deadlines, &app->in_work,
		    app->settings->request_timeout_ms * NS_PER_MS,
		    h1_handler_late, app);
	}
}

static void
worker_init(struct worker *w, const struct heritage *h)
{
	const struct settings *s = h->settings;

	*w = (struct worker){
		.heritage = h,
		.settings = s,
		.h1_limits = { .request_line = (uint32_t)s->max_request_line,
		    .field = (uint32_t)s->max_header,
		    .fields = s->max_headers,
		    .head = (uint32_t)s->max_head },
		.acceptors = { .worker = w },
		.access_log = { .fd = -1 },
		.limits = { .statm_fd = -1 },
		.retire_by_ns = UINT64_MAX,
	};
	TAILQ_INIT(&w->passed_over);
}

static void
fork_guard(const struct heritage *h)
{
	fork_guard_install();
	fork_guard_add(h->channel_fd);
	for (size_t i = 0; i < h->n_listeners; i++)
		fork_guard_add(h->listeners[i].fd);
}

static void
loop_watchers_start(struct worker *w)
{
	ev_check_init(&w->turn, on_turn);
	ev_set_priority(&w->turn, EV_MAXPRI); /* before any other callback */
	w->turn.data = w;
	ev_check_start(w->loop, &w->turn);
	mailbox_init(&w->mailbox, w->loop, h1_request_mail);
	idle_init(&w->idle, w);
	orders_start(w);
}

/* An enum worker_exit, with the reason in err. */
static int
worker_boot(struct worker *w, char *err, size_t err_size)
{
	const struct settings *s = w->settings;

	if (sandbox_enter(s, err, err_size) < 0) /* before there are threads */
		return WORKER_CANNOT_BOOT;
	if (loop_memory_reserve(s->connections + LOOP_FDS_OTHER) < 0)
		goto fail;
	w->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	w->scratch = malloc(WORKER_SCRATCH_BYTES);
	if (w->loop == NULL || w->scratch == NULL)
		goto fail;
	deadline_lists_init(w);
	loop_watchers_start(w);
	if (access_log_init(&w->access_log, w->heritage->access_log_fd,
		w->score) < 0 ||
	    baton_init(&w->baton, w, s->threads.min, s->threads.max) < 0)
		goto fail;
	return WORKER_OK;
fail:
	snprintf(err, err_size, "worker cannot start: %s",
	    strerrordesc_np(errno));
	return WORKER_CANNOT_BOOT;
}

void
worker_open(struct worker *w)
{
	if (w->retiring) /* the master is gone already */
		return;
	if (acceptors_start(&w->acceptors) < 0) {
		worker_refuse(w, "worker cannot start: %s",
		    strerrordesc_np(errno));
		return;
	}
	limits_start(&w->limits, w);
	worker_show(w, SCORE_READY, "ready");
	SCORE_SET(w->score, heartbeat_ms, clock_now_ns() / NS_PER_MS);
	(void)channel_send(w->heritage->channel_fd, CHANNEL_READY, "", NULL, 0);
}

/* ---- end --------------------------------------------------------------- */

void
worker_leave_stuck(struct worker *w)
{
	log_warnx("%u handlers are stuck: exit without them", w->n_stuck);
	access_log_flush(&w->access_log);
	_exit(w->status);
}

static void
worker_fini(struct worker *w)
{
	while (w->conns != NULL) /* only when boot failed half-way */
		conn_close(w->conns);
	baton_fini(&w->baton);
	acceptors_free(&w->acceptors);
	access_log_fini(&w->access_log);
	requests_trim(w);
	free(w->spare_conn);
	apps_close(&w->apps);
	if (w->loop != NULL) {
		mailbox_stop(&w->mailbox);
		ev_loop_destroy(w->loop);
	}
	free(w->scratch);
}

int
worker_load(struct worker *w, const struct heritage *h, char *err,
    size_t err_size)
{
	int status;

	disregard_signals();
	worker_init(w, h);
	report_install(w);
	fork_guard(h);
	status = apps_open(&w->apps, h->settings, err, err_size);
	disregard_signals(); /* whatever an application did to them */
	return status;
}

void
worker_name(const struct heritage *h)
{
	char who[32];

	snprintf(who, sizeof who, "worker %u", (unsigned)h->slot);
	log_set_who(who);
	title_set("worker %u gen %u booting", (unsigned)h->slot,
	    (unsigned)h->generation);
}

/* At boot, before the kernel has any: a number that is at least not constant.
 */
static uint64_t
random_number(const struct worker *w)
{
	uint64_t n;

	if (getrandom(&n, sizeof n, GRND_NONBLOCK) != sizeof n)
		n = w->now_ns ^ (uint64_t)getpid() << 40;
	return n;
}

int
worker_serve(struct worker *w, int loaded, char err[CHANNEL_TEXT_MAX])
{
	const struct heritage *h = w->heritage;

	w->score = &h->scoreboard->slot[h->slot];
	w->now_ns = clock_now_ns();
	w->id_seed = random_number(w);
	w->h1_limits.seed = (uint32_t)(random_number(w) % 0x7ffffffe + 1);
	w->status = loaded;
	if (loaded == WORKER_OK)
		w->status = worker_boot(w, err, CHANNEL_TEXT_MAX);
	if (w->status == WORKER_OK) {
		warmup_start(&w->warmup, w);
		/* a module's own threads may have requests, too */
		if (!baton_serve(&w->baton) || w->n_requests > 0)
			worker_leave_stuck(w);
	} else {
		(void)channel_send(h->channel_fd, CHANNEL_FAILED, err, NULL, 0);
	}
	worker_fini(w);
	return w->status;
}

int
worker_main(const struct heritage *h)
{
	static struct worker w;
	char err[CHANNEL_TEXT_MAX] = "";
	int loaded;

	worker_name(h);
	loaded = worker_load(&w, h, err, sizeof err);
	return worker_serve(&w, loaded, err);
}

int
worker_check(const struct settings *s, char *err, size_t err_size)
{
	struct apps apps;
	int status;

	if (sandbox_check(s, err, err_size) < 0)
		return WORKER_CANNOT_BOOT;
	status = apps_check(&apps, s, err, err_size);
	apps_close(&apps);
	return status;
}
