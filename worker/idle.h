/* A worker that has been idle for a while gives memory back that it needed
 * while it was busy: free requests, and what malloc keeps. */
#ifndef WORKER_IDLE_H
#define WORKER_IDLE_H

#include <stdint.h>

#include <ev.h>

struct worker;

struct idle {
	ev_timer timer;  /* runs from the first request on, until it is idle */
	uint64_t served; /* the count of requests when it ran out last */
};

void idle_init(struct idle *, struct worker *);
/* A request begins. */
void idle_over(struct worker *);

#endif
