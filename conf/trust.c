#include "conf/trust.h"

#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include "conf/list.h"
#include "conf/settings.h"
#include "conf/types.h"

#define LIST_MAX 256
#define TEXT_MAX 63 /* of one network */
#define V4_BITS  32
#define V6_BITS  128
#define MAPPED   12 /* bytes before the IPv4 address in a mapped one */

static const unsigned char mapped[MAPPED] = { [10] = 0xff, [11] = 0xff };

/* The first `bits` of n bytes are equal. */
static bool
same_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	unsigned mask = 0xff00u >> rest & 0xffu;

	return memcmp(a, b, whole) == 0 &&
	    (rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

static bool
has_host_bits(const struct network *net, unsigned all)
{
	for (unsigned i = net->bits; i < all; i++)
		if ((net->ip[i / 8] & 0x80u >> i % 8) != 0)
			return true;
	return false;
}

/* ::ffff:10.0.0.0/104 is 10.0.0.0/8. */
static void
unmap(struct network *net)
{
	if (net->v4 || net->bits < 8 * MAPPED ||
	    memcmp(net->ip, mapped, MAPPED) != 0)
		return;
	net->v4 = true;
	net->bits -= 8 * MAPPED;
	memmove(net->ip, net->ip + MAPPED, sizeof net->ip - MAPPED);
	memset(net->ip + sizeof net->ip - MAPPED, 0, MAPPED);
}

/* address [ "/" bits ].  `text` is ours to cut up. */
static const char *
parse_network(struct network *net, char *text)
{
	char *slash = strchr(text, '/');
	const char *rest = slash != NULL ? slash + 1 : "";
	unsigned all;
	uint64_t bits;

	if (slash != NULL)
		*slash = '\0';
	*net = (struct network){ .v4 = strchr(text, ':') == NULL };
	all = net->v4 ? V4_BITS : V6_BITS;
	if (inet_pton(net->v4 ? AF_INET : AF_INET6, text, net->ip) != 1)
		return "has something that is no IP address; names are not "
		       "looked up";
	bits = all;
	if (slash != NULL &&
	    (number_parse(&rest, &bits) != NULL || *rest != '\0' || bits > all))
		return net->v4 ?
		    "has a prefix length that is not a number from 0 to 32" :
		    "has a prefix length that is not a number from 0 to 128";
	net->bits = (unsigned)bits;
	if (has_host_bits(net, all))
		return "has a network with bits set behind its prefix";
	unmap(net);
	return NULL;
}

static const char *
list_add(void *arg, const char *member, size_t n)
{
	struct trust *t = arg;
	char text[TEXT_MAX + 1];
	const char *why;

	if (n == 0)
		return "has an empty member";
	if (n > TEXT_MAX)
		return "has something that is no IP address";
	memcpy(text, member, n);
	text[n] = '\0';
	if (strcmp(text, "*") == 0) {
		t->everybody = true;
		return NULL;
	}
	if (strcmp(text, "unix") == 0) {
		t->unix_sockets = true;
		return NULL;
	}
	if (t->n == LIST_MAX)
		return "has more than 256 addresses";
	why = parse_network(&t->at[t->n], text);
	t->n += why == NULL;
	return why;
}

const char *
trust_parse(struct trust *t, const char *text)
{
	const char *why = NULL;

	*t = (struct trust){ .at = calloc(LIST_MAX, sizeof t->at[0]) };
	if (t->at == NULL)
		return "out of memory";
	if (*text != '\0')
		why = list_parse(text, list_add, t);
	if (why != NULL)
		trust_fini(t);
	return why;
}

static void
print_network(const struct network *net, FILE *out)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(net->v4 ? AF_INET : AF_INET6, net->ip, text, sizeof text);
	fputs(text, out);
	if (net->bits < (net->v4 ? V4_BITS : V6_BITS))
		fprintf(out, "/%u", net->bits);
}

void
trust_print(const struct trust *t, FILE *out)
{
	const char *comma = "";

	for (size_t i = 0; i < t->n; i++, comma = ", ") {
		fputs(comma, out);
		print_network(&t->at[i], out);
	}
	if (t->unix_sockets) {
		fprintf(out, "%sunix", comma);
		comma = ", ";
	}
	if (t->everybody)
		fprintf(out, "%s*", comma);
}

void
trust_fini(struct trust *t)
{
	free(t->at);
	*t = (struct trust){ .at = NULL };
}

bool
trust_has(const struct trust *t, sa_family_t family, const void *ip)
{
	const unsigned char *p = ip;
	bool v4 = family == AF_INET;

	if (t->everybody)
		return true;
	if (family == AF_UNIX)
		return t->unix_sockets;
	if (family == AF_INET6 && memcmp(p, mapped, MAPPED) == 0) {
		v4 = true;
		p += MAPPED;
	}
	for (size_t i = 0; i < t->n; i++)
		if (t->at[i].v4 == v4 &&
		    same_prefix(t->at[i].ip, p, t->at[i].bits))
			return true;
	return false;
}
