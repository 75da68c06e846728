/*
 * Which of several workers should take a new connection?  Pure.
 *
 * A worker with more than its share gives siblings chances, which a frozen one
 * lets pass.  A connection that waits wakes whoever looks for some, so a loop
 * that did not turn meanwhile is deaf: nobody waits for it until it turns, or
 * until it gets the next chance a while later.
 */
#ifndef WORKER_NET_SHARE_H
#define WORKER_NET_SHARE_H

#include <stdbool.h>
#include <stdint.h>

/* What came of the chances that a worker gave its siblings. */
struct share {
	uint64_t over_ms;   /* the last one was over */
	uint64_t judged_ms; /* the last one in vain */
	unsigned in_vain;   /* so many in a row */
};

/* A worker with `mine` connections lets a sibling with `least` go first. */
bool share_yields(unsigned mine, unsigned least);

/* The siblings had a chance. */
void share_chance_over(struct share *, uint64_t now_ms);
/* We would give them a chance, but they had it: who waits is taken. */
void share_insist(struct share *, uint64_t now_ms);
/* Of a sibling whose loop turned last at turned_ms. */
bool share_is_deaf(const struct share *, uint64_t turned_ms, uint64_t now_ms);

#endif
