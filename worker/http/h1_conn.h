/* HTTP/1 on a connection: from bytes to a ready request, and from the response
 * to the next request.  All of it runs with the baton. */
#ifndef WORKER_HTTP_H1_CONN_H
#define WORKER_HTTP_H1_CONN_H

struct conn;
struct deadline;
struct pf_request;
struct worker;

/* The connection's socket is readable, or writable. */
void h1_readable(struct conn *);
void h1_writable(struct conn *);

/* A timeout of conn.h's table passed. */
void h1_head_late(struct deadline *, void *worker);
void h1_body_late(struct deadline *, void *worker);
void h1_send_late(struct deadline *, void *worker);
void h1_idle_late(struct deadline *, void *worker);
void h1_linger_late(struct deadline *, void *worker);
void h1_queue_late(struct deadline *, void *worker);
void h1_handler_late(struct deadline *, void *app);

/* The next request whose turn it is; NULL: it was answered 503 or its client
 * left. */
struct pf_request *h1_ready_take(struct worker *);

/* The handler is through with it; or it goes on off the loop, in its thread or
 * in the module's hands. */
void h1_request_finished(struct pf_request *);
void h1_request_in_work(struct pf_request *);

/* Mail from a handler thread (MAIL_*). */
void h1_request_mail(struct pf_request *, unsigned mail);

#endif
