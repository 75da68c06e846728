/*
 * What a process that an application forks must not keep: listeners would hold
 * the port when the server is gone, connections would never end for their
 * clients, the channel would hide our death from the master.  Programs that it
 * starts have none of them anyway (close-on-exec).
 */
#ifndef WORKER_FORK_GUARD_H
#define WORKER_FORK_GUARD_H

#include <stdbool.h>

/* Once, in the worker or its template: children of fork(2) have /dev/null in
 * place of what is guarded then. */
void fork_guard_install(void);

/* Between these two calls other threads wait with a fork: what makes an fd and
 * adds it is one step for them.  No call of an application's, nothing slow. */
void fork_guard_begin(void);
void fork_guard_end(void);

/* From now on children do not have this fd; if it is negative, there is none.
 * Between the two, or while the process has one thread. */
void fork_guard_add(int fd);
/* As fd_close(), and no fork comes in between. */
void fork_guard_close(int *fd);

/* Is this process one that an application forked?  It is no worker. */
bool fork_guard_is_child(void);

/* Between these two calls, a fork of this thread keeps everything. */
void fork_guard_own_fork(bool begins);

#endif
