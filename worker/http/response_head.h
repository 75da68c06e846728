/* The head of a response as bytes: RFC 9112 4 to 6. */
#ifndef WORKER_HTTP_RESPONSE_HEAD_H
#define WORKER_HTTP_RESPONSE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <prefork/module.h>

/* What a module wants to say, checked by response_head_check(). */
struct response_head {
	unsigned status;
	pf_str reason; /* n == 0: the standard phrase */
	const pf_header *headers;
	size_t n_headers;
	bool server_header; /* say Server: prefork */
	/* results of the check */
	int64_t length; /* of Content-Length, if it is among them; else -1 */
	bool has_date, has_server;
	size_t room; /* bytes that head and framing take at most */
};

/* PF_OK or PF_EINVAL. */
int response_head_check(struct response_head *);

/* Status line and fields, without framing and the empty line; returns the
 * number of bytes, at most head->room. */
size_t response_head_write(const struct response_head *, char *out);

/* How the body is framed and whether the connection stays. */
struct response_framing {
	int64_t length; /* -1: none is announced */
	bool chunked;
	bool close;         /* say Connection: close */
	bool say_keepalive; /* to a client of HTTP/1.0 */
};

/* The rest of the head; out has room for RESPONSE_FRAMING_MAX bytes. */
#define RESPONSE_FRAMING_MAX 96
size_t response_framing_write(const struct response_framing *, char *out);

#endif
