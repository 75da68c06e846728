#include "worker/net/peer.h"

#include <string.h>

#include <arpa/inet.h>

#include "conf/trust.h"

#define MAPPED     12 /* bytes before the IPv4 address in a mapped one */
#define PORT_CHARS 5
#define PORT_MAX   65535u

void
peer_set_ip(struct peer *p, sa_family_t family, const void *ip, uint16_t port)
{
	static const unsigned char
	    mapped[MAPPED] = { [10] = 0xff, [11] = 0xff };
	const char *bytes = ip;

	*p = (struct peer){ 0 };
	if (family == AF_INET6 && memcmp(bytes, mapped, MAPPED) == 0) {
		family = AF_INET;
		bytes += MAPPED;
	}
	p->family = family;
	if (family == AF_INET) {
		memcpy(&p->v4.sin_addr, bytes, sizeof p->v4.sin_addr);
		p->v4.sin_port = htons(port);
	} else {
		memcpy(&p->v6.sin6_addr, bytes, sizeof p->v6.sin6_addr);
		p->v6.sin6_port = htons(port);
	}
}

/* A socket for both families, such as systemd makes of a port alone, names its
 * IPv4 peers by mapped addresses. */
void
peer_set(struct peer *p, const struct sockaddr *sa)
{
	struct sockaddr_in6 v6;

	*p = (struct peer){ 0 };
	switch (sa->sa_family) {
	case AF_INET: memcpy(&p->v4, sa, sizeof p->v4); break;
	case AF_INET6:
		memcpy(&v6, sa, sizeof v6);
		peer_set_ip(p, AF_INET6, &v6.sin6_addr, ntohs(v6.sin6_port));
		break;
	default: p->family = AF_UNIX;
	}
}

bool
peer_set_text(struct peer *p, sa_family_t family, struct str ip, uint16_t port)
{
	unsigned char bytes[sizeof(struct in6_addr)];
	char text[INET6_ADDRSTRLEN];

	if (ip.n >= sizeof text || memchr(ip.p, '\0', ip.n) != NULL)
		return false;
	memcpy(text, ip.p, ip.n);
	text[ip.n] = '\0';
	if (inet_pton(family, text, bytes) != 1)
		return false;
	peer_set_ip(p, family, bytes, port);
	return true;
}

bool
peer_port_read(struct str s, uint16_t *out)
{
	unsigned port = 0;

	if (s.n == 0 || s.n > PORT_CHARS)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		port = port * 10 + (unsigned)(s.p[i] - '0');
	}
	*out = (uint16_t)port;
	return port <= PORT_MAX;
}

static const void *
address_of(const struct peer *p)
{
	return p->family == AF_INET6 ? (const void *)&p->v6.sin6_addr :
				       (const void *)&p->v4.sin_addr;
}

size_t
peer_text(const struct peer *p, char out[PEER_TEXT_MAX])
{
	out[0] = '\0';
	if (p->family != AF_INET && p->family != AF_INET6)
		return 0;
	inet_ntop(p->family, address_of(p), out, PEER_TEXT_MAX);
	return strlen(out);
}

uint16_t
peer_port(const struct peer *p)
{
	if (p->family == AF_INET)
		return ntohs(p->v4.sin_port);
	return p->family == AF_INET6 ? ntohs(p->v6.sin6_port) : 0;
}

bool
peer_same_address(const struct peer *a, const struct peer *b)
{
	size_t n = a->family == AF_INET6 ? sizeof a->v6.sin6_addr :
	    a->family == AF_INET         ? sizeof a->v4.sin_addr :
					   0;

	return a->family == b->family &&
	    memcmp(address_of(a), address_of(b), n) == 0;
}

bool
peer_is_trusted(const struct peer *p, const struct trust *t)
{
	return trust_has(t, p->family, address_of(p));
}
