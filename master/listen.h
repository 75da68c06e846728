/*
 * Listening sockets.  Generations share them: an address that stays in `bind`
 * keeps its socket, its queue and its port across a reload.
 */
#ifndef MASTER_LISTEN_H
#define MASTER_LISTEN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bind_address;
struct listener;

struct listen_options {
	int backlog;
	mode_t mode; /* of unix sockets */
	uid_t uid;   /* of unix sockets; -1: as it is */
	gid_t gid;
};

/* With one reference; NULL, with the reason in err. */
struct listener *listener_open(const struct bind_address *,
    const struct listen_options *, char *err, size_t err_bytes);
struct listener *listener_ref(struct listener *);
/* The last reference closes the socket and removes the file of a unix socket
 * that is still ours.  Never in a worker. */
void listener_unref(struct listener **);

/* Was it opened for this address, as the settings spell it? */
int listener_is_for(const struct listener *, const struct bind_address *);
/* Options of a later generation; what cannot be applied is logged. */
void listener_settle(const struct listener *, const struct listen_options *);

/* A listener as it goes from one program to its successor. */
struct listener_image {
	int fd;
	char *wanted, *spec;
	char *path; /* of the file that is ours; empty or NULL: there is none */
	uint64_t dev, ino;
};

/* Its strings stay l's. */
struct listener_image listener_show(const struct listener *l);
/* With one reference; takes the descriptor over, on success.  NULL and errno.
 */
struct listener *listener_adopt(const struct listener_image *);

int listener_fd(const struct listener *);
/* Canonical, with the port the kernel chose. */
const char *listener_spec(const struct listener *);

/* Could the address be bound, were it free?  0, or -1 with the reason. */
int listener_check(const struct bind_address *, char *err, size_t err_bytes);

#endif
