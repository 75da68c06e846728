#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "conf/settings.h"
#include "master/activation.h"
#include "master/listen.h"
#include "master/listen_tcp.h"
#include "master/listen_unix.h"

struct listener {
	unsigned refs;
	int fd;
	char *wanted; /* as the settings spell it */
	char *spec;   /* with the port the kernel chose */
	bool tcp;
	bool borrowed; /* others have it too, and go on with it after us */
	bool listens;  /* or: the first worker that is ready makes it */
	struct unix_file file;
};

/* Somebody made the socket for us, or should have: -1.  It is copied, so that
 * fd stays theirs. */
static int
adopt(int given_fd, char *err, size_t err_bytes)
{
	static const int on = 1;
	int listening = 0, fd;
	socklen_t n = sizeof listening;

	if (given_fd < 0) {
		snprintf(err, err_bytes,
		    "no socket of this name was passed to us");
		return -1;
	}
	if (getsockopt(given_fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) <
	    0) {
		snprintf(err, err_bytes, "%m");
		return -1;
	}
	if (!listening) {
		snprintf(err, err_bytes, "not a listening socket");
		return -1;
	}
	/* Accepted sockets inherit it; one that is not TCP does without. */
	(void)setsockopt(given_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	fd_refuse_fds(given_fd);
	fd = fcntl(given_fd, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0 && fd_set_nonblocking(fd) == 0)
		return fd;
	snprintf(err, err_bytes, "%m");
	fd_close(&fd);
	return -1;
}

/* The descriptor that somebody gave us for b; -1: we make our own. */
static int
given_for(const struct bind_address *b)
{
	if (b->kind == BIND_FD && b->host == NULL)
		return b->fd;
	return activation_find(b);
}

static int
open_socket(struct listener *l, const struct bind_address *b,
    const struct listen_options *options, char *err, size_t err_bytes)
{
	int given_fd = given_for(b);

	l->listens = !options->beside;
	if (b->kind == BIND_FD || given_fd >= 0) {
		l->borrowed = l->listens = true;
		l->fd = adopt(given_fd, err, err_bytes);
	} else if (b->kind == BIND_UNIX) {
		l->fd = unix_open(b->host, options, &l->file, err, err_bytes);
	} else {
		l->tcp = true;
		l->fd = tcp_open(b, b->port, options->beside);
		if (l->fd < 0)
			snprintf(err, err_bytes, "%m");
	}
	if (l->fd < 0)
		return -1;
	(void)tcp_limit_unsent(l->fd, options->unsent_bytes);
	if (l->borrowed || !l->listens || listen(l->fd, options->backlog) == 0)
		return 0;
	snprintf(err, err_bytes, "%m");
	return -1;
}

struct listener *
listener_open(const struct bind_address *b,
    const struct listen_options *options, char *err, size_t err_bytes)
{
	struct listener *l = calloc(1, sizeof *l);

	if (l == NULL)
		goto no_memory;
	l->refs = 1;
	l->fd = -1;
	l->wanted = strdup(b->spec);
	if (l->wanted == NULL)
		goto no_memory;
	if (open_socket(l, b, options, err, err_bytes) < 0)
		goto fail;
	l->spec = b->kind == BIND_TCP4 || b->kind == BIND_TCP6 ?
	    tcp_spec(l->fd, b) :
	    strdup(b->spec);
	if (l->spec != NULL)
		return l;
no_memory:
	snprintf(err, err_bytes, "%m");
fail:
	listener_unref(&l);
	return NULL;
}

struct listener *
listener_ref(struct listener *l)
{
	l->refs++;
	return l;
}

/* Workers that hold a copy empty the queue.  What came between their last look
 * and their close would be cut off: nothing is to come. */
static void
close_door(struct listener *l)
{
	unix_file_remove(&l->file);
	if (l->tcp && l->fd >= 0 && !l->borrowed)
		tcp_close_door(l->fd);
}

void
listener_unref(struct listener **lp)
{
	struct listener *l = *lp;

	*lp = NULL;
	if (l == NULL || --l->refs > 0)
		return;
	close_door(l);
	fd_close(&l->fd);
	free(l->wanted);
	free(l->spec);
	free(l);
}

int
listener_is_for(const struct listener *l, const struct bind_address *b)
{
	return strcmp(l->wanted, b->spec) == 0;
}

bool
listener_overlaps(const struct listener *l, const struct bind_address *b)
{
	return l->tcp && !l->borrowed && tcp_overlaps(l->fd, b);
}

void
listener_share(const struct listener *l)
{
	tcp_share(l->fd, true);
}

void
listener_settle(struct listener *l, const struct listen_options *options)
{
	if (listen(l->fd, options->backlog) < 0)
		log_warn("cannot set the backlog of %s", l->spec);
	l->listens = true;
	(void)tcp_limit_unsent(l->fd, options->unsent_bytes);
	if (l->tcp && !l->borrowed)
		tcp_share(l->fd, false);
	if (unix_file_is_ours(&l->file) &&
	    unix_file_settle(&l->file, options) < 0)
		log_warn("cannot set owner and mode of %s", l->file.path);
}

struct listener_image
listener_show(const struct listener *l)
{
	return (struct listener_image){ .fd = l->fd,
		.wanted = l->wanted,
		.spec = l->spec,
		.tcp = l->tcp,
		.borrowed = l->borrowed,
		.path = l->file.path,
		.dev = l->file.dev,
		.ino = l->file.ino };
}

struct listener *
listener_adopt(const struct listener_image *image)
{
	bool has_file = image->path != NULL && image->path[0] != '\0';
	struct listener *l = calloc(1, sizeof *l);

	if (l == NULL)
		return NULL;
	l->refs = 1;
	l->fd = -1;
	l->wanted = strdup(image->wanted);
	l->spec = strdup(image->spec);
	if (l->wanted != NULL && l->spec != NULL &&
	    fcntl(image->fd, F_SETFD, FD_CLOEXEC) == 0 &&
	    (!has_file || (l->file.path = strdup(image->path)) != NULL)) {
		l->fd = image->fd;
		fd_refuse_fds(l->fd); /* the old program may have let it */
		l->tcp = image->tcp;
		l->borrowed = image->borrowed;
		l->listens = true;
		l->file.dev = image->dev;
		l->file.ino = image->ino;
		return l;
	}
	listener_unref(&l);
	return NULL;
}

bool
listener_listens(const struct listener *l)
{
	return l->listens;
}

int
listener_fd(const struct listener *l)
{
	return l->fd;
}

const char *
listener_spec(const struct listener *l)
{
	return l->spec;
}

int
listener_check(const struct bind_address *b, char *err, size_t err_bytes)
{
	int fd = given_for(b);

	if (fd >= 0 && b->kind != BIND_FD)
		return 0; /* it is bound already */
	switch (b->kind) {
	case BIND_UNIX: return unix_check(b->host, err, err_bytes);
	case BIND_FD: fd = adopt(fd, err, err_bytes); break;
	case BIND_TCP4:
	case BIND_TCP6:
		/* Any port: the one of the settings may well be serving. */
		fd = tcp_open(b, 0, false);
		if (fd < 0)
			snprintf(err, err_bytes, "%m");
		break;
	default: return -1;
	}
	if (fd < 0)
		return -1;
	fd_close(&fd);
	return 0;
}
