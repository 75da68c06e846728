/* From a slot to a running worker. */
#ifndef MASTER_SPAWN_H
#define MASTER_SPAWN_H

#include <sys/types.h>

struct deployment;
struct master;
struct settings;

/* 0, or -1 with the reason logged: there is no process. */
int spawn_worker(struct master *, unsigned slot, const struct deployment *);
/* A template and our end of its channel; -1 and errno. */
pid_t spawn_template(struct master *, const struct deployment *,
    int *channel_fd);

/* The scoreboard shows that a worker comes. */
void spawn_announce(struct master *, unsigned slot, unsigned generation);
/* A process that exists becomes the worker of the slot; takes channel_fd over
 * on success.  -1: no memory. */
int spawn_enlist(struct master *, unsigned slot, const struct deployment *,
    pid_t, int channel_fd);

/* In a child: env.NAME of the settings; -1 and errno. */
int spawn_set_environment(const struct settings *);

#endif
