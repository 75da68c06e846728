/* The client's end of a connection: as the kernel says it, or a proxy that is
 * trusted. */
#ifndef WORKER_NET_PEER_H
#define WORKER_NET_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>

#include "worker/str.h"

struct trust;

struct peer {
	union {
		sa_family_t family; /* AF_UNIX: no address, no port */
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
};

/* An IPv4-mapped address becomes IPv4, here and below. */
void peer_set(struct peer *, const struct sockaddr *);
/* ip: 4 bytes of AF_INET, 16 of AF_INET6. */
void peer_set_ip(struct peer *, sa_family_t, const void *ip, uint16_t port);
/* The same of a numeric address without brackets, port or zone; false: it is
 * none of that family. */
bool peer_set_text(struct peer *, sa_family_t, struct str ip, uint16_t port);
/* One to five digits; false: no port. */
bool peer_port_read(struct str, uint16_t *out);

/* Numeric, without brackets; "" over a unix socket.  Returns its length. */
#define PEER_TEXT_MAX 64
size_t peer_text(const struct peer *, char out[PEER_TEXT_MAX]);
uint16_t peer_port(const struct peer *);

/* The ports do not matter. */
bool peer_same_address(const struct peer *, const struct peer *);
bool peer_is_trusted(const struct peer *, const struct trust *);

#endif
