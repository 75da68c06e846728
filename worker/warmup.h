/* A worker asks its own applications for their `warmup` paths before it says
 * READY: real requests over a socket pair, through all that serves clients. */
#ifndef WORKER_WARMUP_H
#define WORKER_WARMUP_H

#include <stdbool.h>
#include <stddef.h>

#include <ev.h>

struct worker;

struct warmup {
	ev_io io;   /* the client's end */
	size_t app; /* that is asked */
	size_t n;   /* bytes of the answer's head so far */
	char head[16];
};

/* When all have answered well, worker_open() follows; if one did not,
 * worker_refuse(). */
void warmup_start(struct warmup *, struct worker *);

/* The status of a response that begins with these bytes; 0: it is none. */
unsigned warmup_status(const char *head, size_t n);

#endif
