/* A worker's own end: after so many requests, so long, or so much memory it
 * asks for a successor.  An idle worker looks at nothing. */
#ifndef WORKER_LIMITS_H
#define WORKER_LIMITS_H

#include <stdint.h>

#include <ev.h>

struct worker;

struct limits {
	ev_prepare rest;    /* before the loop waits: were there requests? */
	ev_timer lifetime;  /* max_lifetime is over */
	ev_timer look;      /* at memory; runs while requests are served */
	uint64_t requests;  /* the count to go at; 0: none */
	uint64_t looked_at; /* the count when memory was looked at last */
	int statm_fd;       /* -1: memory does not matter */
};

/* It serves from now on. */
void limits_start(struct limits *, struct worker *);
void limits_stop(struct limits *, struct worker *);

/* Up to percent more, as chosen by random. */
uint64_t limits_jittered(uint64_t limit, unsigned percent, uint64_t random);
/* Resident bytes of /proc/PID/statm's text; 0: it makes no sense. */
uint64_t limits_resident(const char *statm, uint64_t page_bytes);

#endif
