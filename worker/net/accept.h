/*
 * Taking connections from the listeners that all workers share.  A worker
 * without room closes the connection that is idle longest for a new one, or
 * stops looking, so that a sibling takes it; one that holds more than its share
 * gives a sibling that takes some 2 ms to be faster.
 */
#ifndef WORKER_NET_ACCEPT_H
#define WORKER_NET_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ev.h>

#include "worker/net/share.h"

struct heritage_listener;
struct worker;

/* What an errno of accept(2) means. */
enum accept_verdict {
	ACCEPT_AGAIN,     /* that one is gone; the next may do */
	ACCEPT_DRAINED,   /* a sibling took it */
	ACCEPT_EXHAUSTED, /* no fd, no memory: pause */
	ACCEPT_BROKEN,    /* the listener is of no use */
};

enum accept_verdict accept_verdict(int err); /* pure */

struct acceptor {
	ev_io io;
	struct acceptors *all;
	bool broken; /* said so; not watched any more */
	const struct heritage_listener *listener;
};

enum acceptors_state {
	ACCEPTORS_NOT_YET,    /* not started */
	ACCEPTORS_WATCH,      /* the loop looks for connections */
	ACCEPTORS_YIELD,      /* siblings have their chance */
	ACCEPTORS_EXHAUSTED,  /* no fds, no memory: a while without */
	ACCEPTORS_AWAIT_IDLE, /* full, until somebody is to be closed */
	ACCEPTORS_AWAIT_ROOM, /* full, until something ends or is idle */
	ACCEPTORS_CLOSED,
};

struct acceptors {
	struct worker *worker; /* from the beginning, and state: NOT_YET */
	struct acceptor *at;
	size_t n;
	enum acceptors_state state;
	ev_timer pause;           /* until it tries again, where there is one */
	bool insists;             /* siblings had their chance */
	bool broken;              /* a listener is */
	struct share share;       /* what came of yielding */
	uint64_t exhausted_at_ns; /* when that was told last */
};

/* -1 and errno: no memory, or an address that is in use. */
int acceptors_start(struct acceptors *);
/* No fd, no memory: what comes waits, or goes to a sibling, for a while.  errno
 * says of what there is none. */
void acceptors_exhausted(struct acceptors *, const char *what);
/* Something ended: if there was no room, there may be now. */
void acceptors_room(struct acceptors *);
/* A connection is idle: if it stays so, it can make room. */
void acceptors_idle(struct acceptors *);
/* Takes what the kernel holds, then no more: the worker's copies close. */
void acceptors_close(struct acceptors *);
void acceptors_free(struct acceptors *);

#endif
