/*
 * Sockets that a service manager opened for us: LISTEN_FDS, sd_listen_fds(3).
 * They are the manager's: their files are never removed, and they stay open
 * for a later generation to use.
 */
#ifndef MASTER_ACTIVATION_H
#define MASTER_ACTIVATION_H

#include <stdbool.h>
#include <stddef.h>

struct bind_address;

/* Once, before any process is forked: takes over what was passed to this
 * process and removes the variables from the environment. */
void activation_take(void);

/* The descriptor of the passed socket that b names or has the address of; -1:
 * there is none. */
int activation_find(const struct bind_address *b);

/* Logs the passed sockets that no listener has asked for. */
void activation_log_unused(void);

/* For a program that is to run in this process: NAME=VALUE each, the caller's
 * to free; how many. */
#define ACTIVATION_VARIABLES 3
size_t activation_variables(char **out);
/* Whether such a program gets the sockets. */
void activation_keep(bool);

/* In a child, which has no use for them. */
void activation_shed(void);

#endif
