#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "conf/settings.h"
#include "master/listen_tcp.h"

#define FLAGS_AT 13 /* in the header, RFC 9293 3.1 */

union address {
	struct sockaddr any;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
	struct sockaddr_storage room;
};

/* The length of the address; 0 when host is not a numeric one. */
static socklen_t
address_fill(union address *a, const struct bind_address *b, uint16_t port)
{
	memset(a, 0, sizeof *a);
	if (b->kind == BIND_TCP4) {
		a->in4.sin_family = AF_INET;
		a->in4.sin_port = htons(port);
		return inet_pton(AF_INET, b->host, &a->in4.sin_addr) == 1 ?
		    sizeof a->in4 :
		    0;
	}
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_port = htons(port);
	return inet_pton(AF_INET6, b->host, &a->in6.sin6_addr) == 1 ?
	    sizeof a->in6 :
	    0;
}

/* Accepted sockets inherit TCP_NODELAY. */
int
tcp_open(const struct bind_address *b, uint16_t port, bool beside)
{
	static const int on = 1;
	union address a;
	socklen_t n = address_fill(&a, b, port);
	int fd;

	if (n == 0) {
		errno = EINVAL;
		return -1;
	}
	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    IPPROTO_TCP);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
		goto fail;
	if (b->kind == BIND_TCP6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
		goto fail;
	if (beside)
		tcp_share(fd, true);
	if (bind(fd, &a.any, n) == 0)
		return fd;
fail:
	fd_close(&fd);
	return -1;
}

char *
tcp_spec(int fd, const struct bind_address *b)
{
	union address a;
	socklen_t n = sizeof a;
	char *spec;

	memset(&a, 0, sizeof a);
	if (getsockname(fd, &a.any, &n) < 0)
		return NULL;
	if (asprintf(&spec, b->kind == BIND_TCP4 ? "%s:%u" : "[%s]:%u", b->host,
		b->kind == BIND_TCP4 ? ntohs(a.in4.sin_port) :
				       ntohs(a.in6.sin6_port)) < 0)
		return NULL;
	return spec;
}

static bool
is_for_all(const union address *a)
{
	return a->any.sa_family == AF_INET ?
	    a->in4.sin_addr.s_addr == htonl(INADDR_ANY) :
	    IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

bool
tcp_overlaps(int fd, const struct bind_address *b)
{
	union address old, new;
	socklen_t n = sizeof old;

	memset(&old, 0, sizeof old);
	if ((b->kind != BIND_TCP4 && b->kind != BIND_TCP6) || b->port == 0 ||
	    address_fill(&new, b, b->port) == 0 ||
	    getsockname(fd, &old.any, &n) < 0 ||
	    old.any.sa_family != new.any.sa_family)
		return false;
	/* the port is in the same place in both */
	return old.in4.sin_port == new.in4.sin_port &&
	    (is_for_all(&old) || is_for_all(&new));
}

int
tcp_limit_unsent(int fd, int bytes)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes,
	    sizeof bytes);
}

void
tcp_share(int fd, bool on)
{
	const int value = on;

	/* Where it does not work, bind() and listen() will say so. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &value, sizeof value);
}

/* The kernel drops SYNs.  Whoever sent one sends it again after a second, and
 * finds the socket closed or another one at its address: he is refused or
 * served, but never cut off. */
void
tcp_close_door(int fd)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_AT),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	static const struct sock_fprog program = {
		.len = sizeof code / sizeof code[0],
		.filter = code,
	};

	/* Without it, it is as likely to go well as it always was. */
	(void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
	    sizeof program);
}
