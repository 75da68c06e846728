/* From a slot to a running worker. */
#ifndef MASTER_SPAWN_H
#define MASTER_SPAWN_H

struct deployment;
struct master;

/* 0, or -1 with the reason logged: there is no process. */
int spawn_worker(struct master *, unsigned slot, struct deployment *);

#endif
