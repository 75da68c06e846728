/*
 * A connection: belongs to whoever holds the baton; no handler ever sees it.
 *
 *   state      what it waits for                       timeout      then
 *   PROXY      the rest of the PROXY header         header       close
 *   IDLE       the first byte of a request             keepalive    close
 *   HEAD       the rest of the head                    header       408
 *   BODY       the rest of the body, not yet queued    body *       408
 *   QUEUED     a thread                                queue        503
 *   RUNNING    the handler (streams may flow)          request      504
 *   FLUSHING   the client to take what is queued       send *       close
 *   DISCARDING the body that the handler left unread   body         close
 *   LINGERING  the client to take all, and its FIN     2 s, send    close
 *
 * (*) begins anew with the bytes that min_rate wants in that time.
 */
#ifndef WORKER_CONN_H
#define WORKER_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <ev.h>

#include "worker/net/deadline.h"
#include "worker/net/peer.h"

struct heritage_listener;
struct pf_request;
struct sockaddr;
struct worker;

enum conn_state {
	CONN_PROXY,
	CONN_IDLE,
	CONN_HEAD,
	CONN_BODY,
	CONN_QUEUED,
	CONN_RUNNING,
	CONN_FLUSHING,
	CONN_DISCARDING,
	CONN_LINGERING,
};

struct conn {
	ev_io io;
	struct deadline deadline;
	struct worker *worker;
	struct pf_request *request; /* NULL: PROXY, IDLE or LINGERING */
	struct conn *prev, *next;   /* of all */
	TAILQ_ENTRY(conn) passed_over;
	uint64_t id;
	uint64_t linger_until_ns;
	uint64_t moved;    /* bytes when the deadline was set, h1_pace() */
	uint32_t sequence; /* requests so far */
	int fd;
	uint8_t state; /* enum conn_state */
	bool eof;      /* the client has sent all it will */
	bool is_passed_over;
	bool last; /* close after the response in work */
	bool over_unix;
	bool counted; /* by per_ip_take() */
	bool trusted; /* what peer says of its clients counts */
	const struct heritage_listener *listener;
	struct peer peer; /* or whom its PROXY header names */
};

static inline struct conn *
conn_of(struct deadline *d)
{
	return (
	    struct conn *)(void *)((char *)d - offsetof(struct conn, deadline));
}

/* Is there memory for the next one, and for a request on it?  If not, errno. */
bool conn_prepare(struct worker *);
/* Owns fd, which fork_guard.h knows, from here, on failure too. */
void conn_open(struct worker *, int fd, const struct sockaddr *,
    const struct heritage_listener *);
/* At once.  A request in a handler's hands is given up. */
void conn_close(struct conn *);
/* As conn_close(); but while the client has to take what was sent, as
 * conn_linger(): of a socket that nobody holds the kernel drops it when TCP is
 * short of memory (tcp_mem, tcp_max_orphans), and so does the end of a
 * container when its last process ends. */
void conn_end(struct conn *);
/* At once, and so that the client cannot take it for a regular end (RST). */
void conn_reset(struct conn *);
/* Says FIN, then waits a little for the client's, so that a reset does not
 * destroy the response on its way (RFC 9112 9.6).  A client that goes on
 * sending (a refused upload), or has still to take what was sent, has
 * send_timeout in all. */
void conn_linger(struct conn *);

/* It is readable, but this turn of the loop reads no more pieces: it comes
 * before others in a next one, in the order of these calls. */
void conn_pass_over(struct conn *);
/* It is read now. */
void conn_has_its_turn(struct conn *);

/* Nothing can reach the client any more.  One that has closed looks like one
 * that has only said all it will, until it resets what is sent to it. */
bool conn_is_gone(const struct conn *);

/* Has the client sent what was not read yet? */
bool conn_has_bytes(const struct conn *);

/* Has its end still to take what was sent? */
bool conn_is_taking(const struct conn *);

/* Watches for these events (EV_READ, EV_WRITE, 0), however many calls say so.
 */
void conn_watch(struct conn *, int events);

#endif
