#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ev.h>

#include "common/control_wire.h"
#include "common/fd.h"
#include "common/log.h"
#include "master/control.h"
#include "master/control_socket.h"
#include "master/control_verbs.h"
#include "master/listen_unix.h"
#include "master/master.h"

#define CLIENT_TIME    5.0 /* s for a request, and again to take the answer */
#define ACCEPT_AT_ONCE 4   /* so that who has spoken is heard in time */
#define ACCEPT_PAUSE   1.0 /* s, when there is no fd to be had */

/*
 *            leaves by
 *   FREE     a connection
 *   READING  a line, EOF, time over, a newer client without room
 *   WAITING  what it asked for being over; no time limit of its own
 *   WRITING  answer sent, time over, a newer client without room
 */
enum client_state {
	CLIENT_FREE,
	CLIENT_READING,
	CLIENT_WAITING,
	CLIENT_WRITING
};

struct client {
	struct control *control;
	enum client_state state;
	int fd;
	struct ev_io io;
	struct ev_timer deadline;
	struct ucred peer;
	uint64_t number;        /* in the order of their coming */
	enum control_wait wait; /* WAITING: for what */
	unsigned generation;    /* WAIT_RELOAD: which one */
	char request[CONTROL_REQUEST_BYTES];
	size_t n;
	char *answer;
	size_t answer_bytes, sent;
};

struct control {
	struct master *master;
	int fd;
	struct unix_file file;
	struct ev_io io;
	struct ev_timer pause;
	uint64_t n_clients; /* that ever came */
	struct client client[CONTROL_CLIENTS_MAX];
};

static void
client_close(struct client *c)
{
	struct ev_loop *loop = c->control->master->loop;

	ev_io_stop(loop, &c->io);
	ev_timer_stop(loop, &c->deadline);
	fd_close(&c->fd);
	free(c->answer);
	c->answer = NULL;
	c->state = CLIENT_FREE;
}

static void
set_deadline(struct client *c)
{
	struct ev_loop *loop = c->control->master->loop;

	ev_timer_stop(loop, &c->deadline);
	ev_timer_set(&c->deadline, CLIENT_TIME, 0.0);
	ev_timer_start(loop, &c->deadline);
}

static void
wait_for(struct client *c, int events)
{
	struct ev_loop *loop = c->control->master->loop;

	ev_io_stop(loop, &c->io);
	ev_io_set(&c->io, c->fd, events);
	ev_io_start(loop, &c->io);
}

static void
client_write(struct client *c)
{
	while (c->sent < c->answer_bytes) {
		ssize_t n = send(c->fd, c->answer + c->sent,
		    c->answer_bytes - c->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		c->sent += (size_t)n;
	}
	client_close(c);
}

/* Ends the answer and sends what the socket takes. */
static void
client_answer(struct client *c, FILE *out, enum control_exit result,
    const char *reason)
{
	control_write_end(out, result, reason);
	if (fclose(out) != 0) {
		log_error("control: no answer");
		client_close(c);
		return;
	}
	c->state = CLIENT_WRITING;
	c->sent = 0;
	set_deadline(c);
	wait_for(c, EV_WRITE);
	client_write(c);
}

/* NULL after closing the client. */
static FILE *
client_open_answer(struct client *c)
{
	FILE *out = open_memstream(&c->answer, &c->answer_bytes);

	if (out != NULL)
		return out;
	log_error("control: no answer");
	client_close(c);
	return NULL;
}

static void
client_wait(struct client *c, enum control_wait what, unsigned generation)
{
	c->state = CLIENT_WAITING;
	c->wait = what;
	c->generation = generation;
	ev_timer_stop(c->control->master->loop, &c->deadline);
	wait_for(c, EV_READ);
}

static void
client_run(struct client *c)
{
	struct control_request r = { .line = c->request,
		.uid = (long)c->peer.uid,
		.pid = (long)c->peer.pid,
		.out = client_open_answer(c) };
	enum control_exit result;

	if (r.out == NULL)
		return;
	result = control_run(c->control->master, &r);
	if (r.wait == WAIT_NOT) {
		client_answer(c, r.out, result, r.reason);
		return;
	}
	fclose(r.out);
	free(c->answer);
	c->answer = NULL;
	client_wait(c, r.wait, r.generation);
}

static void
client_refuse(struct client *c, enum control_exit result, const char *why)
{
	FILE *out = client_open_answer(c);

	if (out != NULL)
		client_answer(c, out, result, why);
}

static void
client_read(struct client *c)
{
	ssize_t got =
	    recv(c->fd, c->request + c->n, sizeof c->request - c->n, 0);
	char *end;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		client_close(c);
		return;
	}
	c->n += (size_t)got;
	end = memchr(c->request, '\n', c->n);
	if (end == NULL && c->n == sizeof c->request) {
		client_refuse(c, CONTROL_USAGE, "the request is too long");
	} else if (end != NULL && memchr(c->request, '\0', c->n) != NULL) {
		client_refuse(c, CONTROL_USAGE, "a request is text");
	} else if (end != NULL) {
		*end = '\0';
		client_run(c);
	}
}

/* It has nothing more to say: it is gone, or a half of it is. */
static void
client_stir(struct client *c)
{
	struct pollfd p = { .fd = c->fd };

	if (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0)
		client_close(c);
	else
		ev_io_stop(c->control->master->loop, &c->io);
}

static void
on_client(struct ev_loop *loop, ev_io *w, int revents)
{
	struct client *c = w->data;

	(void)loop;
	(void)revents;
	switch (c->state) {
	case CLIENT_FREE: break;
	case CLIENT_READING: client_read(c); break;
	case CLIENT_WAITING: client_stir(c); break;
	case CLIENT_WRITING: client_write(c); break;
	}
}

static void
on_deadline(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)revents;
	client_close(w->data);
}

/* ---- who comes in -------------------------------------------------------- */

static struct client *
find_oldest(struct control *k, enum client_state state)
{
	struct client *oldest = NULL;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = &k->client[i];

		if (c->state == state &&
		    (oldest == NULL || c->number < oldest->number))
			oldest = c;
	}
	return oldest;
}

/* A place; a client that dawdles loses its own.  NULL: all wait for what they
 * asked for. */
static struct client *
make_room(struct control *k)
{
	struct client *c = find_oldest(k, CLIENT_FREE);

	if (c == NULL)
		c = find_oldest(k, CLIENT_READING);
	if (c == NULL)
		c = find_oldest(k, CLIENT_WRITING);
	if (c != NULL && c->state != CLIENT_FREE)
		client_close(c);
	return c;
}

/* The socket's mode keeps others out as well, unless somebody changes it. */
static int
may_control(int fd, struct ucred *peer)
{
	socklen_t n = sizeof *peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &n) < 0)
		return 0;
	return peer->uid == 0 || peer->uid == geteuid();
}

static void
client_begin(struct client *c, int fd)
{
	c->state = CLIENT_READING;
	c->fd = fd;
	c->n = 0;
	c->number = ++c->control->n_clients;
	set_deadline(c);
	wait_for(c, EV_READ);
}

static void
admit(struct control *k, int fd)
{
	struct client *c = make_room(k);
	int allowed;

	if (c == NULL) {
		log_warnx("control: too many clients wait");
		fd_close(&fd);
		return;
	}
	allowed = may_control(fd, &c->peer);
	client_begin(c, fd);
	if (allowed) {
		client_read(c); /* most have spoken by now */
		return;
	}
	log_warnx("control: uid %ld is refused", (long)c->peer.uid);
	client_refuse(c, CONTROL_FAILED,
	    "only root and the account of the server may do this");
}

static void
on_pause_over(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct control *k = w->data;

	(void)revents;
	ev_io_start(loop, &k->io);
}

static void
on_connection(struct ev_loop *loop, ev_io *w, int revents)
{
	struct control *k = w->data;

	(void)revents;
	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		int fd =
		    accept4(k->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			admit(k, fd);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		log_warn("control: cannot accept");
		ev_io_stop(loop, &k->io);
		ev_timer_set(&k->pause, ACCEPT_PAUSE, 0.0);
		ev_timer_start(loop, &k->pause);
		return;
	}
}

static bool
waits_for(const struct client *c, enum control_wait what)
{
	return c->state == CLIENT_WAITING && c->wait == what &&
	    (what != WAIT_RELOAD ||
		c->generation == c->control->master->last_reload.generation);
}

void
control_over(struct control *k, enum control_wait what)
{
	for (size_t i = 0; k != NULL && i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = &k->client[i];
		struct control_request r = { .line = c->request };
		enum control_exit result;

		if (!waits_for(c, what))
			continue;
		r.out = client_open_answer(c);
		if (r.out == NULL)
			continue;
		result = control_result(k->master, what, &r);
		client_answer(c, r.out, result, r.reason);
	}
}

/* ---- opening and closing ------------------------------------------------- */

static struct control *
control_new(struct master *m)
{
	struct control *k = calloc(1, sizeof *k);

	if (k == NULL)
		return NULL;
	k->master = m;
	k->fd = -1;
	ev_init(&k->io, on_connection);
	ev_init(&k->pause, on_pause_over);
	k->io.data = k->pause.data = k;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = &k->client[i];

		c->control = k;
		c->fd = -1;
		ev_init(&c->io, on_client);
		ev_init(&c->deadline, on_deadline);
		c->io.data = c->deadline.data = c;
	}
	return k;
}

static void
control_start(struct control *k, int fd)
{
	k->fd = fd;
	ev_io_set(&k->io, fd, EV_READ);
	ev_io_start(k->master->loop, &k->io);
}

int
control_open(struct control **out, struct master *m, const struct settings *s,
    char *err, size_t err_bytes)
{
	struct control *k = control_new(m);
	int on;

	*out = NULL;
	if (k == NULL) {
		snprintf(err, err_bytes, "%m");
		return -1;
	}
	on = control_socket_open(s, &k->fd, &k->file, err, err_bytes);
	if (on <= 0) {
		control_close(&k);
		return on;
	}
	control_start(k, k->fd);
	*out = k;
	return 0;
}

/* ---- from program to program --------------------------------------------- */

struct control_image
control_show(const struct control *k)
{
	struct control_image image = { .fd = -1 };

	if (k == NULL)
		return image;
	image.fd = k->fd;
	image.path = k->file.path;
	image.dev = k->file.dev;
	image.ino = k->file.ino;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		const struct client *c = &k->client[i];
		bool waits =
		    c->state == CLIENT_WAITING && c->wait == WAIT_UPGRADE;

		if (waits || (c->state == CLIENT_READING && c->n == 0))
			image.client[image.n_clients++] =
			    (struct control_client_image){ .fd = c->fd,
				    .waits = waits };
	}
	return image;
}

static void
adopt_client(struct client *c, const struct control_client_image *image)
{
	fcntl(image->fd, F_SETFD, FD_CLOEXEC);
	(void)may_control(image->fd, &c->peer); /* it was asked when it came */
	client_begin(c, image->fd);
	if (image->waits)
		client_wait(c, WAIT_UPGRADED, 0);
}

struct control *
control_adopt(struct master *m, const struct control_image *image)
{
	struct control *k = control_new(m);

	if (k == NULL)
		return NULL;
	k->file.path = strdup(image->path);
	if (k->file.path == NULL) {
		control_close(&k);
		return NULL;
	}
	k->file.dev = image->dev;
	k->file.ino = image->ino;
	fcntl(image->fd, F_SETFD, FD_CLOEXEC);
	fd_refuse_fds(image->fd); /* the old program may have let it */
	control_start(k, image->fd);
	for (unsigned i = 0; i < image->n_clients; i++)
		adopt_client(&k->client[i], &image->client[i]);
	return k;
}

void
control_close(struct control **kp)
{
	struct control *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		client_close(&k->client[i]);
	ev_io_stop(k->master->loop, &k->io);
	ev_timer_stop(k->master->loop, &k->pause);
	unix_file_remove(&k->file);
	fd_close(&k->fd);
	free(k);
}

void
control_shed(struct control *k)
{
	if (k == NULL)
		return;
	fd_close(&k->fd);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		fd_close(&k->client[i].fd);
}
