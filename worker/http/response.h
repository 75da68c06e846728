/*
 * The response to one request: order and framing are kept here and nowhere
 * else, so that no module can make a malformed one (RFC 9112 6, RFC 9110 6.4).
 * Called by handlers (through pf_host) and by the loop for answers of its own.
 */
#ifndef WORKER_HTTP_RESPONSE_H
#define WORKER_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <prefork/module.h>

struct response {
	uint16_t status; /* 0: not started */
	bool started, ended;
	bool head_sent; /* head was given to the gate */
	bool cut;       /* the client must see that it is incomplete */
	bool chunked;
	bool bodiless;   /* HEAD, 204, 205, 304: body bytes are dropped */
	bool close;      /* Connection: close is said */
	int64_t length;  /* of the body; -1: not known */
	int64_t written; /* body bytes the module gave */
	char *head;      /* in the arena, until sent; room for framing */
	size_t head_n;
};

int response_inform(pf_request *, unsigned status, const pf_header *, size_t n);
int response_start(pf_request *, unsigned status, pf_str reason,
    const pf_header *, size_t n, int64_t length);
int response_write(pf_request *, const pf_buf *, size_t n, unsigned flags);
int response_sendfile(pf_request *, int fd, int64_t offset, int64_t length,
    unsigned flags);
int response_end(pf_request *);
void response_abort(pf_request *);
int response_respond(pf_request *, unsigned status, const pf_header *, size_t n,
    const pf_buf *, size_t n_bufs);
/* An answer of prefork's own: short text, standard phrase.  retry_after_s 0:
 * no such field. */
int response_error(pf_request *, unsigned status, unsigned retry_after_s);
/* Sends "100 Continue" once, if it is wanted and no head was sent. */
void response_continue(pf_request *);

#endif
