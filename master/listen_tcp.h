/* TCP sockets. */
#ifndef MASTER_LISTEN_TCP_H
#define MASTER_LISTEN_TCP_H

#include <stdbool.h>
#include <stdint.h>

struct bind_address;

/* A bound socket, not yet listening; -1 and errno.  beside: those of ours that
 * are in the way were told to tcp_share(). */
int tcp_open(const struct bind_address *, uint16_t port, bool beside);
/* Port 0 gives way to the one the kernel chose.  NULL and errno. */
char *tcp_spec(int fd, const struct bind_address *);

/* Have they the same port, one of them for every address? */
bool tcp_overlaps(int fd, const struct bind_address *);
/* May another socket of this account be bound to an address that overlaps? */
void tcp_share(int fd, bool on);

/* Connections inherit it: the kernel takes no more for a client that does not
 * take it.  Else each slow reader has megabytes there, and thousands of them
 * all of TCP's memory.  -1 and errno, as of sockets that are none of TCP. */
int tcp_limit_unsent(int fd, int bytes);

/* No further connection begins; one that has begun, and be it only half open,
 * can still be accepted. */
void tcp_close_door(int fd);

#endif
