/*
 * A request body on its way from the socket to the handler: framing taken off
 * (Content-Length or chunked, RFC 9112 6 and 7.1), kept where it fits best.
 *
 *   slice    it came with the head: bytes of the head's buffer
 *   memory   up to body_memory
 *   file     longer than that: an unnamed file in body_dir
 *   ring     streamed: the handler reads while the loop feeds
 *
 * The loop feeds and the handler peeks.  Only a ring has both at once; then
 * each holds the lock of the request's gate.
 */
#ifndef WORKER_HTTP_BODY_H
#define WORKER_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <prefork/module.h>

#include "worker/http/h1_chunk.h"

enum body_place { BODY_SLICE, BODY_MEMORY, BODY_FILE, BODY_RING };

struct body {
	enum body_place place;
	bool chunked;
	bool complete; /* all of it was fed */
	bool starved;  /* ring: the loop stopped reading, it was full */
	int error;     /* PF_ETOOBIG, PF_EPROTO, ...: instead of the rest */
	uint64_t left; /* not chunked: bytes still to come */
	uint64_t received, max;
	struct h1_chunk chunk;
	char *mem; /* ours unless BODY_SLICE */
	size_t cap, at, used;
	int fd; /* BODY_FILE, else -1 */
	off_t file_at;
};

struct body_limits {
	uint64_t max;    /* bytes, -> 413 */
	size_t memory;   /* bytes */
	const char *dir; /* for files */
	bool stream;
};

/* A body as the head announces it; nothing is allocated yet. */
void body_init(struct body *, const struct h1_head *, const struct h1_limits *,
    const struct body_limits *);
void body_fini(struct body *);

/* Bytes that may be read from the socket now: 0 when it is complete, or a ring
 * is full (then starved is set, and the handler's consuming tells the loop). */
size_t body_wants(struct body *, size_t at_most);

/* The statuses of what can go wrong with it. */
enum body_result {
	BODY_MORE = 0,
	BODY_DONE = 1,
	BODY_BAD = 400,
	BODY_TOO_BIG = 413,
	BODY_TRAILERS = 431, /* too many, or too long */
	BODY_FAILED = 500    /* memory or disk; errno */
};

/*
 * raw[0..*n) came from the socket, at most what body_wants() allowed.  Sets *n
 * to the bytes taken; what is left over belongs to the next request.  raw is
 * decoded in place.
 */
enum body_result body_feed(struct body *, const struct body_limits *, char *raw,
    size_t *n);

/* raw[0..n) came with the head and stays where it is until body_fini(): if the
 * whole body is in it, it is used in place. */
enum body_result body_feed_first(struct body *, const struct body_limits *,
    char *raw, size_t *n);

/* The handler: as pf_host.peek and consume. */
int body_peek(struct body *, pf_str *out);
/* true: the loop waits for room; tell it. */
bool body_consume(struct body *, size_t n);

#endif
