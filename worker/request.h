/*
 * One exchange: the pf_request that modules hold.  Made by the loop when the
 * first byte arrives, handed to a handler, and back with the loop when the
 * handler has returned and the module has said done().
 *
 *            loop                        handler (any thread)
 *   fields   head, body (until queued)   response, info, arena
 *   shared   gate (its lock), mail (atomic), phase (atomic)
 */
#ifndef WORKER_REQUEST_H
#define WORKER_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <prefork/module.h>

#include "worker/arena.h"
#include "worker/http/body.h"
#include "worker/http/h1_parse.h"
#include "worker/http/response.h"
#include "worker/net/deadline.h"
#include "worker/net/gate.h"
#include "worker/net/peer.h"
#include "worker/str.h"

struct conn;
struct worker;

/* Both set: the request is the loop's again. */
enum { REQUEST_DONE = 1, REQUEST_RETURNED = 2 };

/* What a handler tells the loop (worker/mail.h). */
enum {
	MAIL_FLUSH = 1,    /* bytes wait in the gate */
	MAIL_READ = 2,     /* the ring has room again */
	MAIL_FINISHED = 4, /* phase is complete: the loop's from here */
};

#define REQUEST_ID_BYTES 32 /* of one that we make */

struct pf_request {
	struct pf_request *next;      /* in the ready list or the free list */
	struct pf_request *next_mail; /* guarded by the mailbox's lock */
	struct worker *worker;
	struct conn *conn; /* the loop's view; NULL once given up */
	struct pf_app *app;
	struct gate gate;
	_Atomic unsigned mail;
	_Atomic unsigned phase;

	/* head and body */
	struct h1_head head;
	struct str host; /* of the head, or as a trusted proxy says */
	char *buf;       /* inline_buf, or ours */
	uint32_t buf_size, buf_used;
	char *rest; /* bytes of the next request: inside buf, or ours */
	size_t rest_n;
	bool rest_owned;
	struct body body;
	uint64_t discard_until; /* received bytes after which we give up */
	bool body_shared;       /* a ring that the loop still feeds */
	bool linger;            /* unread bytes may be on their way */
	bool keep;              /* the connection may serve another request */
	bool is_https;          /* a trusted proxy says so */
	bool over_unix;         /* as the connection */
	bool continue_wanted;   /* 100 Continue was asked for and not sent */

	/* copied from the connection, which may end first */
	struct peer peer; /* then the client, if a trusted proxy names it */
	const struct heritage_listener *listener;
	uint64_t connection_id;
	uint32_t sequence;

	/* the handler's */
	struct response response;
	struct arena arena;
	struct str path; /* decoded */
	pf_info info;
	bool info_known;
	char remote_text[PEER_TEXT_MAX];
	char id_text[REQUEST_ID_BYTES]; /* X-Request-Id, if we make it */

	/* times, CLOCK_MONOTONIC */
	uint64_t ready_ns;        /* its head (and body) was complete */
	uint64_t run_ns;          /* its handler began */
	struct deadline deadline; /* in app->in_work */
	bool stuck;               /* answered 504, and not done yet */

	/* behind the struct: the buffer, and settings.max_headers of each; one
	 * header more, for X-Request-Id */
	char *inline_buf;
	pf_header *headers;
	struct h1_field *fields;
};

/* From the worker's free list or malloc; NULL when memory is out. */
struct pf_request *request_new(struct worker *, struct conn *);
/* Is there a block on the free list, or memory for one?  If not, errno. */
bool request_prepare(struct worker *);
/* Back to the free list.  The gate is abandoned or drained. */
void request_free(struct pf_request *);
/* Frees the free list. */
void requests_trim(struct worker *);

/* Room for at least one more byte in buf; false: it is at its limit, or memory
 * is out. */
bool request_grow(struct pf_request *, size_t limit);

/* A span of the head as a slice; valid while buf does not move. */
static inline struct str
request_str(const struct pf_request *r, struct h1_span s)
{
	return (struct str){ r->buf + s.at, s.n };
}

/* Its target for the error log: a longer one would leave no room for what is
 * said of it. */
#define TARGET_LOGGED 256
static inline struct str
request_target_logged(const struct pf_request *r)
{
	struct str s = request_str(r, r->head.target);

	if (s.n > TARGET_LOGGED)
		s.n = TARGET_LOGGED;
	return s;
}

/* In the thread that runs it: calls the module. */
void request_run(struct pf_request *, void *thread_state);
/* Then, for whoever waits for that.  true: the request is complete (the caller
 * hands it to the loop); false: done() comes later, and the request is no
 * longer the caller's. */
bool request_returned(struct pf_request *);
/* Instead of both: the module's thread state could not be made.  500. */
bool request_refuse(struct pf_request *);

/* Its X-Request-Id: as received, or made into `made`.  Also in a signal
 * handler. */
struct str request_id(const struct pf_request *, char made[REQUEST_ID_BYTES]);

/* As pf_host.info. */
const pf_info *request_info(pf_request *);

extern const pf_host request_host; /* the table modules receive */

#endif
