/*
 * The control socket: what preforkctl asks, answered from the master's loop.
 * Nothing here waits for a client: their number, their requests and their time
 * are bounded, and the oldest silent one makes way for a new one.
 */
#ifndef MASTER_CONTROL_H
#define MASTER_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control;
struct master;
struct settings;

/* What an answer may wait for. */
enum control_wait {
	WAIT_NOT,      /* it is complete */
	WAIT_RELOAD,   /* a generation is committed or rolled back */
	WAIT_UPGRADE,  /* the program on disk takes over, or cannot */
	WAIT_UPGRADED, /* it did; its own first reload is over */
};

/* 0, with NULL in *out if it is off; -1 with the reason. */
int control_open(struct control **out, struct master *, const struct settings *,
    char *err, size_t err_bytes);
/* Removes the socket's file if it is still ours. */
void control_close(struct control **);
/* In a worker, which has another loop: closes what it inherited. */
void control_shed(struct control *);

/* Answers who waits for that; of reloads, for master.last_reload.  NULL will
 * do. */
void control_over(struct control *, enum control_wait);

#define CONTROL_CLIENTS_MAX 16

/* The socket as it goes from one program to its successor, with the clients
 * that the successor will answer. */
struct control_image {
	int fd;     /* -1: off */
	char *path; /* of its file, which is ours */
	uint64_t dev, ino;
	struct control_client_image {
		int fd;
		bool waits; /* for the upgrade; otherwise it has not spoken */
	} client[CONTROL_CLIENTS_MAX];
	unsigned n_clients;
};

/* Its path stays the control's, which may be NULL. */
struct control_image control_show(const struct control *);
/* Takes the descriptors over.  NULL and errno. */
struct control *control_adopt(struct master *, const struct control_image *);

#endif
