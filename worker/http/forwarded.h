/*
 * Whose request it is that a trusted proxy passes on: X-Forwarded-For, -Proto
 * and -Host, and Forwarded (RFC 7239).  Pure: no socket, no clock, no
 * allocation; every byte is looked at once.
 *
 * Each proxy adds the peer that it has the request from, so the list is read
 * from its right end.  It is believed as far as those peers are trusted; the
 * first who is not is the client, and what stands left of it may be forged and
 * does not matter.
 */
#ifndef WORKER_HTTP_FORWARDED_H
#define WORKER_HTTP_FORWARDED_H

#include "worker/http/h1_parse.h"
#include "worker/net/peer.h"
#include "worker/str.h"

struct trust;

/* Members of a list that are looked at. */
#define FORWARDED_HOPS_MAX 64

/* Bytes of a value whose quotes have a backslash, which must be copied to be
 * read: more than a name of DNS and a port have. */
#define FORWARDED_QUOTED_MAX 300

enum forwarded_proto {
	FORWARDED_PROTO_NONE, /* not said */
	FORWARDED_PROTO_HTTP,
	FORWARDED_PROTO_HTTPS,
};

struct forwarded {
	struct peer client; /* family 0: not said.  When a trusted proxy hides
			       it (unknown, _name), that proxy */
	enum forwarded_proto proto;
	struct str host; /* n == 0: not said.  In the head, or in unquoted */
	char unquoted[FORWARDED_QUOTED_MAX];
};

/* Of a complete head, whose peer is trusted.  H1_OK, or why it is refused. */
enum h1_result forwarded_read(const struct h1_head *, const char *buf,
    const struct trust *, struct forwarded *);

#endif
