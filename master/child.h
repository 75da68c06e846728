/* A worker's process as the master sees it. */
#ifndef MASTER_CHILD_H
#define MASTER_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <ev.h>

#include "common/channel.h"
#include "master/stall.h"

struct master;

/* Why a worker failed, and which one. */
#define TROUBLE_MAX (CHANNEL_TEXT_MAX + 256)

struct child {
	struct master *master;
	struct ev_child exit;
	struct ev_io io;
	int channel_fd; /* -1: it closed its end */
	pid_t pid;
	unsigned slot, generation;
	uint64_t since_ns;
	/* What the counters of its slot began with. */
	uint64_t requests_before, errors_before;
	bool leaving;                  /* we told it to go */
	bool killed;                   /* by us */
	bool ready, closed;            /* it said so: accepts, or no more */
	struct stall stall;            /* does its loop turn? */
	msec_t stall_timeout;          /* 0: it may stand still */
	char reason[CHANNEL_TEXT_MAX]; /* why it cannot boot, if it said so */
};

/* Takes channel_fd, which may be -1, over on success.  NULL when memory is
 * short. */
struct child *child_new(struct master *, pid_t, unsigned slot,
    unsigned generation, int channel_fd);
void child_free(struct child **);

/* Only to a process that descends from us: a template, which runs the
 * application's code, could name any. */
void child_signal(const struct child *, int signo);
/* Never waits; a message that does not go out is logged. */
void child_tell(struct child *, enum channel_kind, const int *fds,
    size_t n_fds);
/* Handles all that it said, up to a bound. */
void child_listen(struct child *);

#endif
