/* What a worker process consists of.  One per process; worker/worker.c makes
 * and ends it, everybody in worker/ knows its parts. */
#ifndef WORKER_CORE_H
#define WORKER_CORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <ev.h>

#include "common/channel.h"
#include "worker/app.h"
#include "worker/baton.h"
#include "worker/http/access_log.h"
#include "worker/http/h1_parse.h"
#include "worker/idle.h"
#include "worker/limits.h"
#include "worker/mail.h"
#include "worker/net/accept.h"
#include "worker/net/deadline.h"
#include "worker/ready.h"
#include "worker/told.h"
#include "worker/warmup.h"

struct conn;
struct heritage;
struct pf_request;
struct score_slot;
struct settings;

#define WORKER_SCRATCH_BYTES 65536

struct worker {
	const struct heritage *heritage;
	const struct settings *settings;
	struct score_slot *score;
	struct ev_loop *loop;
	uint64_t now_ns;          /* when this turn of the loop began */
	_Atomic unsigned looking; /* reports that look at a request just now */
	unsigned piece_reads;     /* so far in this turn: see h1_readable() */

	struct apps apps;
	struct baton baton;
	struct mailbox mailbox;
	struct request_list ready;     /* complete: their turn will come */
	struct request_list pipelined; /* bytes came with the last request */
	struct request_list deferred;  /* finished: their answers wait */

	struct acceptors acceptors;
	struct conn *conns;
	TAILQ_HEAD(, conn) passed_over; /* see conn_pass_over() */
	struct conn *spare_conn;        /* for the next one; or NULL */
	unsigned n_conns;
	uint64_t next_conn_id;
	uint64_t id_seed;    /* first half of the request IDs we make */
	unsigned n_requests; /* that exist outside the free list */
	unsigned n_stuck;    /* of them late and not waited for */
	struct pf_request *free_requests;
	unsigned n_free_requests;
	struct h1_limits h1_limits;
	char *scratch; /* WORKER_SCRATCH_BYTES, for one callback's reading */

	struct deadlines deadlines;
	struct deadline_list header, body, send, keepalive, linger, queue;
	struct deadline_list interrupted; /* handlers asked to end */
	struct access_log access_log;
	struct told proxy_told, field_told, per_ip_told;

	ev_io channel;
	ev_check turn;
	_Atomic bool retiring;   /* no new connections, every response closes */
	uint64_t retire_by_ns;   /* then nobody is waited for any more */
	bool finished;           /* nothing is left to do: threads leave */
	enum channel_kind asked; /* for a successor; 0: not yet */
	struct limits limits;
	struct idle idle;
	struct warmup warmup;
	int status;      /* enum worker_exit, as it ends */
	ev_timer orphan; /* the master is gone */
};

/* Asks the master for a successor: CHANNEL_RECYCLE, or one of the more urgent
 * kinds that follow it; once for each.  The text says why. */
void worker_recycle(struct worker *, enum channel_kind how, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));

/* ---- becoming one, in this order ------------------------------------------
 */

/* Signals are the master's; the applications are opened.  0, or an enum
 * worker_exit with the reason in err. */
int worker_load(struct worker *, const struct heritage *, char *err,
    size_t err_size);
/* What ps and the log call it while it boots. */
void worker_name(const struct heritage *);
/* Serves until it is retired; if loaded is not 0, tells the master why. Returns
 * an enum worker_exit. */
int worker_serve(struct worker *, int loaded, char err[CHANNEL_TEXT_MAX]);

/* All is warm: accepts connections and says READY. */
void worker_open(struct worker *);
/* It cannot boot; the text says why. */
void worker_refuse(struct worker *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* All is done but for handlers that hang: the process ends without them. */
_Noreturn void worker_leave_stuck(struct worker *);

/* Something ended: if the worker is retiring, was it the last? */
void worker_maybe_finish(struct worker *);

#endif
