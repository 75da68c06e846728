/* Whose word about clients counts: addresses, networks, unix sockets.  Pure. */
#ifndef CONF_TRUST_H
#define CONF_TRUST_H

#include <stdbool.h>
#include <stdio.h>

#include <netinet/in.h>

struct trust;

/* Fills an empty list; NULL, or why not, and the list is empty again. */
const char *trust_parse(struct trust *, const char *text);
void trust_print(const struct trust *, FILE *);
void trust_fini(struct trust *);

/* ip: 4 bytes of AF_INET, 16 of AF_INET6, where an IPv4-mapped one counts as
 * IPv4; of AF_UNIX nothing is read. */
bool trust_has(const struct trust *, sa_family_t, const void *ip);

#endif
