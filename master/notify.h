/*
 * What a service manager is told: sd_notify(3), spoken to the socket that
 * NOTIFY_SOCKET names.  Nothing here ever waits; without the variable, nothing
 * here does anything.
 */
#ifndef MASTER_NOTIFY_H
#define MASTER_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <ev.h>

struct master;

struct notify {
	int fd; /* -1: nobody listens */
	struct sockaddr_un to;
	socklen_t to_bytes;
	uint64_t watchdog_us; /* 0: not asked for */
	struct ev_timer look, watchdog;
	bool stopping;
	char live[128];   /* the status as sent last */
	char unsent[640]; /* what the manager's queue had no room for */
	char note[512];   /* why the last reload failed; empty: it did not */
};

#define NOTIFY_NOBODY ((struct notify){ .fd = -1 })

/* Takes NOTIFY_SOCKET and WATCHDOG_* out of the environment. */
void notify_open(struct notify *);
void notify_start(struct master *);
/* In a child too. */
void notify_close(struct notify *);

/* For a program that is to run in this process: NAME=VALUE each, the caller's
 * to free; how many. */
#define NOTIFY_VARIABLES 2
size_t notify_variables(const struct notify *, char **out);

/* A reload begins. */
void notify_reloading(struct master *);
/* A generation serves: the first or new one, or, with the reason why, still
 * the old one. */
void notify_serving(struct master *, const char *why);
/* The end has begun; said once. */
void notify_stopping(struct master *);

/* PURE: the address for a value of NOTIFY_SOCKET; its length, 0: it is none. */
socklen_t notify_address(const char *name, struct sockaddr_un *);

#endif
