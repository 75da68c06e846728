/* HTTP/1 on a connection: from bytes to a ready request, and from the response
 * to the next request.  All of it runs with the baton. */
#ifndef WORKER_HTTP_H1_CONN_H
#define WORKER_HTTP_H1_CONN_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct deadline;
struct deadline_list;
struct heritage_listener;
struct peer;
struct pf_request;
struct worker;

/* The connection's socket is readable, or writable. */
void h1_readable(struct conn *);
void h1_writable(struct conn *);
/* As the turn begins: those that an earlier one had no reads left for. */
void h1_read_passed_over(struct worker *);

/* A timeout of conn.h's table passed. */
void h1_head_late(struct deadline *, void *worker);
void h1_body_late(struct deadline *, void *worker);
void h1_send_late(struct deadline *, void *worker);
void h1_idle_late(struct deadline *, void *worker);
void h1_linger_late(struct deadline *, void *worker);
void h1_interrupted_late(struct deadline *, void *worker);
void h1_queue_late(struct deadline *, void *worker);
void h1_handler_late(struct deadline *, void *app);

/* Requests that came with an earlier one: parses those that wait by now. */
void h1_pipelined(struct worker *);

/* The handler is through with it; or it goes on off the loop, in its thread or
 * in the module's hands. */
void h1_request_finished(struct pf_request *);
void h1_request_in_work(struct pf_request *);

/* Sends the answers of worker->deferred.  Due before the loop turns: nothing
 * may happen to their connections until then. */
void h1_send_deferred(struct worker *);

/* Mail from a handler thread (MAIL_*). */
void h1_request_mail(struct pf_request *, unsigned mail);

/* A connection to a listener that wants PROXY headers has no good one. */
void h1_proxy_refused(struct worker *, const struct peer *,
    const struct heritage_listener *, const char *why);

/* ---- between h1_conn.c, h1_proxied.c, h1_body.c and h1_late.c ----------- */

/* Answers of the loop's own: a whole response; or one to a request that cannot
 * be read to its end, after which the connection closes (`why` is logged). */
void h1_respond_early(struct pf_request *, unsigned status,
    unsigned retry_after_s);
void h1_fail(struct pf_request *, unsigned status, const char *why);

/* More of the PROXY header; none in time. */
void h1_read_proxy(struct conn *);
void h1_proxy_late(struct conn *);
/* More of the head has come. */
void h1_parse_head(struct conn *, struct pf_request *);
/* Takes what a trusted peer says of its client, drops what others say; false:
 * it was answered. */
bool h1_proxied_fields(struct pf_request *);

/* The head said that a body follows. */
void h1_begin_body(struct pf_request *);
void h1_read_body(struct conn *, struct pf_request *);
/* The handler left it unread: read on, so that the connection can serve. */
void h1_discard_begin(struct conn *, struct pf_request *);
void h1_discard_body(struct conn *, struct pf_request *);
/* A streaming handler learns why no more will come (a pf_result). */
void h1_stream_fail(struct pf_request *, int error);
/* As PF_ETIMEOUT, unless it is the handler that is slow. */
void h1_stream_late(struct pf_request *);

/*
 * The client's pace.  `moved` counts the bytes that came of it, or that it took
 * of ours; the time in the list (body or send) begins anew with every so many
 * of them as the minimum rate has for that time.  h1_pace() begins or renews
 * it, h1_in_pace() says whether it may be renewed.
 */
void h1_pace(struct conn *, struct deadline_list *, uint64_t moved);
bool h1_in_pace(const struct conn *, const struct deadline_list *,
    uint64_t moved);

void h1_log_response(const struct pf_request *);
/* The response to `done` is sent, and the connection stays. */
void h1_next_request(struct conn *, struct pf_request *done);

#endif
