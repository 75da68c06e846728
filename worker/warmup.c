#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/heritage.h"
#include "conf/settings.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/fork_guard.h"
#include "worker/warmup.h"

/* Room for a path of the setting's length, a host and what is around them. */
#define REQUEST_BYTES 2048

static void next_app(struct warmup *, struct worker *);

unsigned
warmup_status(const char *head, size_t n)
{
	static const char version[] = "HTTP/1.1 ";
	size_t at = sizeof version - 1;
	unsigned status = 0;

	if (n < at + 3 || memcmp(head, version, at) != 0)
		return 0;
	for (size_t i = at; i < at + 3; i++) {
		if (head[i] < '0' || head[i] > '9')
			return 0;
		status = status * 10 + (unsigned)(head[i] - '0');
	}
	return status;
}

static void
end_client(struct warmup *u, struct worker *w)
{
	ev_io_stop(w->loop, &u->io);
	fork_guard_close(&u->io.fd);
}

/* The connection is closed: that was all of the answer. */
static void
judge(struct warmup *u, struct worker *w)
{
	const struct app_settings *app = w->apps.at[u->app].settings;
	unsigned status = warmup_status(u->head, u->n);

	end_client(u, w);
	if (status >= 200 && status < 400) {
		u->app++;
		next_app(u, w);
	} else if (status != 0) {
		worker_refuse(w, "app %s: warmup %s was answered %u", app->name,
		    app->warmup, status);
	} else {
		worker_refuse(w, "app %s: warmup %s was not answered",
		    app->name, app->warmup);
	}
}

static void
on_answer(struct ev_loop *loop, ev_io *io, int revents)
{
	struct worker *w = io->data;
	struct warmup *u = &w->warmup;
	ssize_t n = read(io->fd, w->scratch, WORKER_SCRATCH_BYTES);
	size_t room = sizeof u->head - u->n;

	(void)loop;
	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		judge(u, w);
		return;
	}
	if ((size_t)n < room)
		room = (size_t)n;
	memcpy(u->head + u->n, w->scratch, room);
	u->n += room;
}

/* -1 and errno. */
static int
pair(int fd[2])
{
	int failed;

	fork_guard_begin();
	failed = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0, fd);
	for (int i = 0; failed == 0 && i < 2; i++)
		fork_guard_add(fd[i]);
	fork_guard_end();
	return failed;
}

static int
ask(struct warmup *u, struct worker *w)
{
	static const struct heritage_listener listener = { .fd = -1,
		.spec = "unix:warmup" };
	const struct app_settings *app = w->apps.at[u->app].settings;
	struct sockaddr nobody = { .sa_family = AF_UNIX };
	char text[REQUEST_BYTES];
	int fd[2];
	int n = snprintf(text, sizeof text,
	    "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: prefork-warmup\r\n"
	    "Connection: close\r\n\r\n",
	    app->warmup, app->host[0] != '\0' ? app->host : "localhost");

	if (pair(fd) < 0)
		return -1;
	u->n = 0;
	w->now_ns = clock_now_ns(); /* loading took its time */
	ev_io_init(&u->io, on_answer, fd[0], EV_READ);
	u->io.data = w;
	ev_io_start(w->loop, &u->io);
	conn_open(w, fd[1], &nobody, &listener); /* owns fd[1] */
	if (send(fd[0], text, (size_t)n, MSG_NOSIGNAL) == n)
		return 0;
	end_client(u, w);
	return -1;
}

/* Asks the next one that wants it. */
static void
next_app(struct warmup *u, struct worker *w)
{
	while (u->app < w->apps.n &&
	    w->apps.at[u->app].settings->warmup[0] == '\0')
		u->app++;
	if (u->app == w->apps.n)
		worker_open(w);
	else if (ask(u, w) < 0)
		worker_refuse(w, "cannot ask for warmup: %s",
		    strerrordesc_np(errno));
}

void
warmup_start(struct warmup *u, struct worker *w)
{
	*u = (struct warmup){ 0 };
	next_app(u, w);
}
