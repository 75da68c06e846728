#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "master/master.h"
#include "master/notify.h"
#include "master/watch.h"

/* How often the counts are looked at, and how much time is asked for at each
 * look while we start, reload or stop. */
#define LOOK_EVERY_S 3.0
#define EXTEND_US    15000000
#define US_PER_S     1e6
#define NUMBER_BASE  10

socklen_t
notify_address(const char *name, struct sockaddr_un *out)
{
	size_t n = strlen(name);

	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((name[0] != '/' && name[0] != '@') || n < 2 ||
	    n >= sizeof out->sun_path)
		return 0;
	memcpy(out->sun_path, name, n);
	if (name[0] == '/')
		return sizeof *out;
	out->sun_path[0] = '\0'; /* abstract: the length tells the name */
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

/* NOLINTBEGIN(concurrency-mt-unsafe): the master has one thread */
static uint64_t
watchdog_asked_for(void)
{
	const char *us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (us == NULL ||
	    (pid != NULL && strtoll(pid, NULL, NUMBER_BASE) != getpid()))
		return 0;
	return strtoull(us, NULL, NUMBER_BASE);
}

void
notify_open(struct notify *n)
{
	const char *name = getenv("NOTIFY_SOCKET");

	*n = NOTIFY_NOBODY;
	if (name != NULL) {
		n->to_bytes = notify_address(name, &n->to);
		if (n->to_bytes == 0)
			log_warnx("NOTIFY_SOCKET=%s is not a unix socket: "
				  "ignored",
			    name);
		else
			n->fd = socket(AF_UNIX,
			    SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		n->watchdog_us = watchdog_asked_for();
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}
/* NOLINTEND(concurrency-mt-unsafe) */

/* false: there is no room at the moment. */
static bool
send_text(struct notify *n, const char *text)
{
	if (sendto(n->fd, text, strlen(text), MSG_NOSIGNAL,
		(const struct sockaddr *)&n->to, n->to_bytes) >= 0)
		return true;
	if (errno == EAGAIN || errno == ENOBUFS)
		return false;
	log_warn("cannot notify the service manager");
	return true; /* another try would fare no better */
}

/* A later state replaces one that could not be told. */
static void
tell_state(struct notify *n, const char *text)
{
	n->unsent[0] = '\0';
	if (!send_text(n, text))
		snprintf(n->unsent, sizeof n->unsent, "%s", text);
}

/* ---- the status line ----------------------------------------------------- */

static unsigned
count_connections(const struct scoreboard *b)
{
	uint32_t n = scoreboard_used(b);
	unsigned sum = 0;

	for (uint32_t i = 0; i < n; i++)
		if (SCORE_GET(&b->slot[i], state) != SCORE_EMPTY)
			sum += SCORE_GET(&b->slot[i], connections);
	return sum;
}

static void
show_live(const struct master *m, char *out, size_t bytes)
{
	struct sup_counts c = sup_count(m->sup);
	unsigned workers = c.stopping ? c.alive : c.ready;
	unsigned connections = count_connections(m->scoreboard);
	char what[40];

	snprintf(what, sizeof what, "generation %u", m->serving);
	snprintf(out, bytes, "%s: %u worker%s, %u connection%s",
	    c.stopping ? "stopping" : what, workers, workers == 1 ? "" : "s",
	    connections, connections == 1 ? "" : "s");
}

/* Text that may not contain a line's end. */
static void
cut_at_newline(char *text)
{
	text[strcspn(text, "\n")] = '\0';
}

/* The state, if any, and the status as it is now. */
static void
tell(struct master *m, const char *state)
{
	struct notify *n = &m->notify;
	char text[sizeof n->unsent];
	int at;

	show_live(m, n->live, sizeof n->live);
	at = snprintf(text, sizeof text, "%sSTATUS=%s%s", state, n->live,
	    n->note[0] != '\0' ? "; " : "");
	snprintf(text + at, sizeof text - (size_t)at, "%.400s", n->note);
	if (state[0] != '\0')
		tell_state(n, text);
	else if (!send_text(n, text))
		n->live[0] = '\0'; /* the next look tries again */
}

static void
look(struct master *m)
{
	struct notify *n = &m->notify;
	struct sup_counts c = sup_count(m->sup);
	char live[sizeof n->live], text[64];

	if (n->unsent[0] != '\0' && send_text(n, n->unsent))
		n->unsent[0] = '\0';
	if (!m->committed || c.on_trial || c.leaving || c.stopping) {
		snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%d",
		    EXTEND_US);
		(void)send_text(n, text); /* there is more than one look */
	}
	show_live(m, live, sizeof live);
	if (m->committed && strcmp(live, n->live) != 0)
		tell(m, "");
}

static void
on_look(struct ev_loop *loop, ev_timer *t, int revents)
{
	(void)t;
	(void)revents;
	look(ev_userdata(loop));
}

/* Alive is who serves, or was told not to; a worker that stands still does not
 * serve. */
static void
on_watchdog(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct master *m = ev_userdata(loop);
	struct sup_counts c = sup_count(m->sup);

	(void)t;
	(void)revents;
	if (watch_sees_life(m) || c.paused || c.stopping)
		(void)send_text(&m->notify, "WATCHDOG=1");
}

/* ---- what the master tells ----------------------------------------------- */

void
notify_start(struct master *m)
{
	struct notify *n = &m->notify;
	double half = (double)n->watchdog_us / US_PER_S / 2.0;

	if (n->fd < 0)
		return;
	ev_timer_init(&n->look, on_look, LOOK_EVERY_S, LOOK_EVERY_S);
	ev_timer_start(m->loop, &n->look);
	ev_timer_init(&n->watchdog, on_watchdog, half, half);
	if (n->watchdog_us > 0)
		ev_timer_start(m->loop, &n->watchdog);
}

void
notify_close(struct notify *n)
{
	fd_close(&n->fd);
}

size_t
notify_variables(const struct notify *n, char **out)
{
	const char *path = n->to.sun_path;
	int length =
	    (int)(n->to_bytes - offsetof(struct sockaddr_un, sun_path));
	size_t made = 0;

	if (n->fd < 0)
		return 0;
	if (path[0] != '\0')
		made += asprintf(&out[made], "NOTIFY_SOCKET=%s", path) >= 0;
	else
		made += asprintf(&out[made], "NOTIFY_SOCKET=@%.*s", length - 1,
			    path + 1) >= 0;
	if (n->watchdog_us > 0)
		made += asprintf(&out[made], "WATCHDOG_USEC=%llu",
			    (unsigned long long)n->watchdog_us) >= 0;
	return made;
}

void
notify_reloading(struct master *m)
{
	char text[64];

	if (m->notify.fd < 0)
		return;
	snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
	    clock_now_ns() / NS_PER_US);
	tell_state(&m->notify, text);
}

void
notify_serving(struct master *m, const char *why)
{
	struct notify *n = &m->notify;

	if (n->fd < 0)
		return;
	snprintf(n->note, sizeof n->note, "%s%s",
	    why != NULL ? "reload failed: " : "", why != NULL ? why : "");
	cut_at_newline(n->note);
	tell(m, "READY=1\n");
}

void
notify_stopping(struct master *m)
{
	if (m->notify.fd < 0 || m->notify.stopping)
		return;
	m->notify.stopping = true;
	tell(m, "STOPPING=1\n");
}
