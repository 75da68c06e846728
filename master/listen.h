/*
 * Listening sockets.  Generations share them: an address that stays in `bind`
 * keeps its socket, its queue and its port across a reload.
 */
#ifndef MASTER_LISTEN_H
#define MASTER_LISTEN_H

#include <stdbool.h>
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
	int unsent_bytes; /* of a connection, that its client does not take */
	bool beside;      /* those that overlap were told to share; TCP only */
};

/* With one reference; NULL, with the reason in err. */
struct listener *listener_open(const struct bind_address *,
    const struct listen_options *, char *err, size_t err_bytes);
struct listener *listener_ref(struct listener *);
/* The last reference keeps new clients out, closes the socket and removes the
 * file of a unix socket that is still ours.  Never in a worker. */
void listener_unref(struct listener **);

/* Was it opened for this address, as the settings spell it? */
int listener_is_for(const struct listener *, const struct bind_address *);
/* Is it in the way of this address, which is another one with its port? */
bool listener_overlaps(const struct listener *, const struct bind_address *);
/* Lets one be opened `beside` it.  As long as both are there, a connection goes
 * to the one whose address is more precise: that one does not listen until a
 * worker is ready to accept. */
void listener_share(const struct listener *);
/* It is of the generation that serves: applies its options, ends the sharing.
 * What cannot be applied is logged. */
void listener_settle(struct listener *, const struct listen_options *);
/* Or: who is ready to accept from it has to make it listen. */
bool listener_listens(const struct listener *);

/* A listener as it goes from one program to its successor. */
struct listener_image {
	int fd;
	char *wanted, *spec;
	bool tcp, borrowed;
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
