/*
 * The header with which a proxy begins a connection that it passes on: version
 * 1 and 2 of HAProxy's PROXY protocol.  Pure: no socket, no clock, no
 * allocation.  Strict: after any doubt the connection closes.
 */
#ifndef WORKER_NET_PROXY_PROTOCOL_H
#define WORKER_NET_PROXY_PROTOCOL_H

#include <stddef.h>

#include "worker/net/peer.h"

/* Of a header with all its TLVs.  HAProxy's have some hundred bytes. */
#define PROXY_HEADER_MAX 4096

enum proxy_result {
	PROXY_OK,
	PROXY_MORE, /* correct as far as it goes */
	PROXY_ABSENT,
	PROXY_TOO_LONG,
	PROXY_BAD_LINE,
	PROXY_BAD_VERSION,
	PROXY_BAD_FAMILY,
	PROXY_BAD_LENGTH,
};

/* For the error log. */
const char *proxy_result_text(enum proxy_result);

enum proxy_kind {
	PROXY_CLIENT, /* .client connected to the proxy */
	PROXY_HIDDEN, /* so did somebody whom it does not name */
	PROXY_OWN,    /* the proxy itself, to see whether we live (LOCAL) */
};

struct proxy_header {
	size_t length; /* what follows is the client's */
	enum proxy_kind kind;
	struct peer client;
};

/*
 * p[0..n) is all that has arrived so far; call again with more of the same
 * bytes after PROXY_MORE.  The result does not depend on how they were split.
 */
enum proxy_result proxy_protocol_read(const char *p, size_t n,
    struct proxy_header *);

#endif
