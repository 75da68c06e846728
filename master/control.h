/*
 * The control socket: what preforkctl asks, answered from the master's loop.
 * Nothing here waits for a client: their number, their requests and their time
 * are bounded, and the oldest silent one makes way for a new one.
 */
#ifndef MASTER_CONTROL_H
#define MASTER_CONTROL_H

#include <stddef.h>

struct control;
struct master;
struct settings;

/* 0, with NULL in *out if it is off; -1 with the reason. */
int control_open(struct control **out, struct master *, const struct settings *,
    char *err, size_t err_bytes);
/* Removes the socket's file if it is still ours. */
void control_close(struct control **);
/* In a worker, which has another loop: closes what it inherited. */
void control_shed(struct control *);

/* Answers who waits for this reload, which is master.last_reload.  NULL will
 * do. */
void control_reload_over(struct control *);

#endif
