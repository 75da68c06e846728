/*
 * The access log: a line per response in NCSA combined format, as gunicorn and
 * every log tool know it.  Lines gather during a turn of the loop and leave in
 * one write, so a busy worker pays a system call a turn and an idle one logs at
 * once.  Runs with the baton.
 */
#ifndef WORKER_HTTP_ACCESS_LOG_H
#define WORKER_HTTP_ACCESS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct pf_request;
struct score_slot;

struct access_log {
	int fd;       /* -1: off; the heritage's */
	bool is_pipe; /* lines leave in pieces that do not mix (PIPE_BUF) */
	char *buf;
	size_t n;
	time_t time; /* of time_text */
	char time_text[32];
	struct score_slot *score;
	bool failing; /* said so in the error log */
};

/* -1 and errno when memory is out. */
int access_log_init(struct access_log *, int fd, struct score_slot *);
void access_log_fini(struct access_log *);

/* The response to it is with the kernel, or will not get there. */
void access_log_add(struct access_log *, const struct pf_request *,
    unsigned status, int64_t body_bytes);
void access_log_flush(struct access_log *);

#endif
