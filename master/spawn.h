/* From a slot to a running worker. */
#ifndef MASTER_SPAWN_H
#define MASTER_SPAWN_H

struct deployment;
struct master;
struct settings;

/* 0, or -1 with the reason logged: there is no process. */
int spawn_worker(struct master *, unsigned slot, struct deployment *);

/* In a child: env.NAME of the settings; -1 and errno. */
int spawn_set_environment(const struct settings *);

#endif
