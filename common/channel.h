/*
 * The channel: one SOCK_SEQPACKET pair per worker, the only conversation
 * between master and worker.  EOF means that the other side died.  A template
 * has one, too: what it says and hears is READY, FAILED, REOPEN and what stands
 * below.
 */
#ifndef COMMON_CHANNEL_H
#define COMMON_CHANNEL_H

#include <stddef.h>

enum channel_kind {
	/* up: worker to master */
	CHANNEL_READY = 1,   /* I serve from now on */
	CHANNEL_FAILED,      /* I cannot boot; text says why; exit follows */
	CHANNEL_RECYCLE,     /* replace me, then retire me; text says why */
	CHANNEL_TOO_LARGE,   /* the same: I use too much memory */
	CHANNEL_RECYCLE_NOW, /* the same, but retire me without waiting */
	/* down: master to worker */
	CHANNEL_RETIRE, /* drain, then exit 0 */
	CHANNEL_QUIT,   /* as RETIRE, but within WORKER_QUIT_MS */
	CHANNEL_REOPEN, /* new log fds follow: fd[0] error, fd[1] access or none
			 */
	CHANNEL_PING,   /* turn your loop: the heartbeat tells */
	/* down: master to template */
	CHANNEL_FORK, /* make a worker: text is its slot, fd[0] its channel */
	CHANNEL_GO,   /* its process is known here: let it run; or QUIT */
	/* up: the answer to FORK, one of them */
	CHANNEL_FORKED,     /* text is its process ID; it waits for GO */
	CHANNEL_NOT_FORKED, /* text says why */
	/* up: worker to master, behind those that older masters know */
	CHANNEL_CLOSED, /* I accept nobody any more */
	CHANNEL_KIND_END,
};

#define CHANNEL_TEXT_MAX 8192 /* a traceback, whole */
#define CHANNEL_FDS_MAX  2

struct channel_message {
	enum channel_kind kind;
	char text[CHANNEL_TEXT_MAX]; /* NUL-terminated, cut if longer */
	int fd[CHANNEL_FDS_MAX];     /* owned by the receiver; -1: absent */
};

/* Both ends non-blocking and close-on-exec; -1 and errno.  fd[0] is the
 * master's, who sends descriptors and takes none. */
int channel_pair(int fd[2]);

/* 0, or -1 and errno (EAGAIN when the other side does not read).  `fds` are
 * borrowed; n_fds <= CHANNEL_FDS_MAX. */
int channel_send(int fd, enum channel_kind, const char *text, const int *fds,
    size_t n_fds);

/* 1: *out is a message; 0: EOF; -1 and errno (EAGAIN: nothing waits). */
int channel_receive(int fd, struct channel_message *out);

/* What it takes of the message's fds it replaces by -1. */
typedef void channel_heard_fn(void *ud, struct channel_message *);
/* Hands over what waits, up to a bound: whoever chatters must not keep a loop
 * from all else.  heard may close *fd and leave -1, which ends it.  1: more may
 * come; 0: EOF; -1 and errno. */
int channel_hear(const int *fd, channel_heard_fn *heard, void *ud);

#endif
