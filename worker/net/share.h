/* Which of several workers should take a new connection?  Pure. */
#ifndef WORKER_NET_SHARE_H
#define WORKER_NET_SHARE_H

#include <stdbool.h>

/* A worker with `mine` connections lets a sibling with `least` go first. */
bool share_yields(unsigned mine, unsigned least);

#endif
