/* The client's end of a connection, as the kernel says it. */
#ifndef WORKER_NET_PEER_H
#define WORKER_NET_PEER_H

#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>

struct peer {
	union {
		sa_family_t family; /* AF_UNIX: no address, no port */
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
};

void peer_set(struct peer *, const struct sockaddr *);

/* Numeric, without brackets; "" over a unix socket.  Returns its length. */
#define PEER_TEXT_MAX 64
size_t peer_text(const struct peer *, char out[PEER_TEXT_MAX]);
uint16_t peer_port(const struct peer *);

#endif
