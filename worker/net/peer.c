#include <string.h>

#include <arpa/inet.h>

#include "worker/net/peer.h"

void
peer_set(struct peer *p, const struct sockaddr *sa)
{
	*p = (struct peer){ 0 };
	switch (sa->sa_family) {
	case AF_INET: memcpy(&p->v4, sa, sizeof p->v4); break;
	case AF_INET6: memcpy(&p->v6, sa, sizeof p->v6); break;
	default: p->family = AF_UNIX;
	}
}

size_t
peer_text(const struct peer *p, char out[PEER_TEXT_MAX])
{
	const void *addr = &p->v4.sin_addr;

	out[0] = '\0';
	if (p->family == AF_INET6)
		addr = &p->v6.sin6_addr;
	else if (p->family != AF_INET)
		return 0;
	inet_ntop(p->family, addr, out, PEER_TEXT_MAX);
	return strlen(out);
}

uint16_t
peer_port(const struct peer *p)
{
	if (p->family == AF_INET)
		return ntohs(p->v4.sin_port);
	return p->family == AF_INET6 ? ntohs(p->v6.sin6_port) : 0;
}
