#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "conf/settings.h"
#include "worker/core.h"
#include "worker/limits.h"

#define LOOK_S 1.0 /* between two looks at memory */
#define MIB    (1024.0 * 1024.0)

uint64_t
limits_jittered(uint64_t limit, unsigned percent, uint64_t random)
{
	return limit +
	    random % (limit / 100 * percent + limit % 100 * percent / 100 + 1);
}

uint64_t
limits_resident(const char *statm, uint64_t page_bytes)
{
	char *end;

	(void)strtoull(statm, &end, 10);
	return strtoull(end, NULL, 10) * page_bytes;
}

/* ---- memory ------------------------------------------------------------ */

static uint64_t
resident_bytes(const struct limits *l)
{
	char text[128];
	ssize_t n = pread(l->statm_fd, text, sizeof text - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return limits_resident(text, (uint64_t)sysconf(_SC_PAGESIZE));
}

static void
on_look(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct worker *w = t->data;
	const struct settings *s = w->settings;
	uint64_t bytes = resident_bytes(&w->limits);

	(void)loop;
	(void)revents;
	w->limits.looked_at = SCORE_GET(w->score, requests);
	if (s->max_memory_hard != 0 && bytes > s->max_memory_hard)
		worker_recycle(w, CHANNEL_RECYCLE_NOW,
		    "%.1f MiB: max_memory_hard", (double)bytes / MIB);
	else if (s->max_memory != 0 && bytes > s->max_memory)
		worker_recycle(w, CHANNEL_TOO_LARGE, "%.1f MiB: max_memory",
		    (double)bytes / MIB);
}

static bool
was_busy(const struct worker *w)
{
	return w->n_requests > 0 ||
	    SCORE_GET(w->score, requests) != w->limits.looked_at;
}

/* ---- requests and time ------------------------------------------------- */

static void
on_rest(struct ev_loop *loop, ev_prepare *p, int revents)
{
	struct worker *w = p->data;
	struct limits *l = &w->limits;

	(void)revents;
	if (l->requests != 0 && SCORE_GET(w->score, requests) >= l->requests) {
		l->requests = 0;
		worker_recycle(w, CHANNEL_RECYCLE, "max_requests");
	}
	if (l->statm_fd >= 0 && !ev_is_active(&l->look) && was_busy(w)) {
		ev_timer_set(&l->look, LOOK_S, 0.);
		ev_timer_start(loop, &l->look);
	}
}

static void
on_lifetime(struct ev_loop *loop, ev_timer *t, int revents)
{
	(void)loop;
	(void)revents;
	worker_recycle(t->data, CHANNEL_RECYCLE, "max_lifetime");
}

static uint64_t
random_number(void)
{
	uint64_t n = 0;

	if (getrandom(&n, sizeof n, GRND_NONBLOCK) != sizeof n)
		n = (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
	return n;
}

/* ---- from ready to retiring -------------------------------------------- */

static void
watch_memory(struct limits *l)
{
	l->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (l->statm_fd < 0)
		log_warn("max_memory is not kept: /proc/self/statm");
}

void
limits_start(struct limits *l, struct worker *w)
{
	const struct settings *s = w->settings;
	unsigned percent = s->max_requests_jitter;
	uint64_t served = SCORE_GET(w->score, requests);

	*l = (struct limits){ .statm_fd = -1, .looked_at = served };
	ev_prepare_init(&l->rest, on_rest);
	ev_init(&l->look, on_look);
	ev_init(&l->lifetime, on_lifetime);
	l->rest.data = l->look.data = l->lifetime.data = w;
	if (s->max_requests != 0)
		l->requests = served +
		    limits_jittered(s->max_requests, percent, random_number());
	if (s->max_memory != 0 || s->max_memory_hard != 0)
		watch_memory(l);
	if (l->requests != 0 || l->statm_fd >= 0)
		ev_prepare_start(w->loop, &l->rest);
	if (s->max_lifetime_ms == 0)
		return;
	ev_timer_set(&l->lifetime,
	    (double)limits_jittered(s->max_lifetime_ms, percent,
		random_number()) /
		1e3,
	    0.);
	ev_timer_start(w->loop, &l->lifetime);
}

void
limits_stop(struct limits *l, struct worker *w)
{
	ev_prepare_stop(w->loop, &l->rest);
	ev_timer_stop(w->loop, &l->look);
	ev_timer_stop(w->loop, &l->lifetime);
	fd_close(&l->statm_fd);
}
