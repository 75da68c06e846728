#include "worker/net/proxy_protocol.h"

#include <string.h>

#include "worker/str.h"

/* "The PROXY protocol", Willy Tarreau, 2.1: with CR LF. */
#define V1_MAX    107
#define V1_PREFIX "PROXY "
#define V1_WORDS  5

/* 2.2: signature, version and command, family and protocol, length. */
#define V2_SIGNATURE     "\r\n\r\n\0\r\nQUIT\n"
#define V2_SIGNATURE_N   12
#define V2_AT_COMMAND    12
#define V2_AT_FAMILY     13
#define V2_AT_LENGTH     14
#define V2_AT_ADDRESSES  16
#define V2_COMMAND_LOCAL 0x20
#define V2_COMMAND_PROXY 0x21

const char *
proxy_result_text(enum proxy_result r)
{
	static const char *const texts[] = {
		[PROXY_OK] = "complete",
		[PROXY_MORE] = "incomplete",
		[PROXY_ABSENT] = "there is none",
		[PROXY_TOO_LONG] = "too long",
		[PROXY_BAD_LINE] = "malformed line",
		[PROXY_BAD_VERSION] = "unknown version or command",
		[PROXY_BAD_FAMILY] = "unknown address family or protocol",
		[PROXY_BAD_LENGTH] = "too short for its addresses",
	};

	return texts[r];
}

/* ---- version 1: a line -------------------------------------------------- */

/* Words with one space between; false: another number of them. */
static bool
split(struct str line, struct str word[V1_WORDS])
{
	for (int i = 0; i < V1_WORDS; i++) {
		const char *space = memchr(line.p, ' ', line.n);
		size_t n = space ? (size_t)(space - line.p) : line.n;

		if (n == 0 || (space == NULL) != (i == V1_WORDS - 1))
			return false;
		word[i] = (struct str){ line.p, n };
		line.p += n + (space != NULL);
		line.n -= n + (space != NULL);
	}
	return true;
}

/* Without leading zeros. */
static bool
port_read(struct str s, uint16_t *out)
{
	return (s.n == 1 || s.p[0] != '0') && peer_port_read(s, out);
}

/* TCP4 or TCP6, source, destination, source port, destination port. */
static bool
v1_addresses(struct str line, struct proxy_header *h)
{
	struct str word[V1_WORDS];
	struct peer to;
	uint16_t from_port, to_port;
	sa_family_t family;

	if (!split(line, word))
		return false;
	if (str_eq(word[0], STR("TCP4")))
		family = AF_INET;
	else if (str_eq(word[0], STR("TCP6")))
		family = AF_INET6;
	else
		return false;
	h->kind = PROXY_CLIENT;
	return port_read(word[3], &from_port) && port_read(word[4], &to_port) &&
	    peer_set_text(&h->client, family, word[1], from_port) &&
	    peer_set_text(&to, family, word[2], to_port);
}

/* What stands behind UNKNOWN is to be ignored. */
static bool
is_unknown(struct str line)
{
	static const struct str word = { "UNKNOWN", 7 };

	return line.n >= word.n && memcmp(line.p, word.p, word.n) == 0 &&
	    (line.n == word.n || line.p[word.n] == ' ');
}

static enum proxy_result
v1_read(const char *p, size_t n, struct proxy_header *h)
{
	size_t prefix = sizeof V1_PREFIX - 1;
	const char *lf = memchr(p, '\n', n < V1_MAX ? n : V1_MAX);
	struct str line;

	if (lf == NULL)
		return n < V1_MAX ? PROXY_MORE : PROXY_TOO_LONG;
	h->length = (size_t)(lf + 1 - p);
	if (h->length < prefix + 2 || lf[-1] != '\r')
		return PROXY_BAD_LINE;
	line = (struct str){ p + prefix, h->length - prefix - 2 };
	if (memchr(line.p, '\r', line.n) != NULL)
		return PROXY_BAD_LINE;
	if (is_unknown(line)) {
		h->kind = PROXY_HIDDEN;
		return PROXY_OK;
	}
	return v1_addresses(line, h) ? PROXY_OK : PROXY_BAD_LINE;
}

/* ---- version 2: binary --------------------------------------------------- */

static uint16_t
number_at(const char *p)
{
	return (uint16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

/* The lengths of source address, and of all addresses and ports. */
static const struct family {
	unsigned char code; /* and SOCK_STREAM: nothing else is accepted */
	sa_family_t family;
	uint16_t ip, all;
} families[] = {
	{ 0x00, AF_UNSPEC, 0, 0 },
	{ 0x11, AF_INET, 4, 12 },
	{ 0x21, AF_INET6, 16, 36 },
	{ 0x31, AF_UNIX, 108, 216 },
};

static const struct family *
family_of(char code)
{
	for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
		if (families[i].code == (unsigned char)code)
			return &families[i];
	return NULL;
}

/* All that is needed of p[0..n) is there; TLVs behind the addresses are
 * skipped with the rest. */
static void
v2_take(const char *p, const struct family *f, struct proxy_header *h)
{
	const char *from = p + V2_AT_ADDRESSES;

	if (f->family == AF_INET || f->family == AF_INET6) {
		h->kind = PROXY_CLIENT;
		peer_set_ip(&h->client, f->family, from,
		    number_at(from + (size_t)2 * f->ip));
	} else {
		h->kind = PROXY_HIDDEN;
	}
}

/* Each byte is judged as soon as it is there, in their order. */
static enum proxy_result
v2_read(const char *p, size_t n, struct proxy_header *h)
{
	const struct family *f = NULL;
	size_t length;
	bool own;

	if (n <= V2_AT_COMMAND)
		return PROXY_MORE;
	own = p[V2_AT_COMMAND] == V2_COMMAND_LOCAL;
	if (!own && p[V2_AT_COMMAND] != V2_COMMAND_PROXY)
		return PROXY_BAD_VERSION;
	if (n <= V2_AT_FAMILY)
		return PROXY_MORE;
	if (!own) {
		f = family_of(p[V2_AT_FAMILY]);
		if (f == NULL)
			return PROXY_BAD_FAMILY;
	}
	if (n < V2_AT_ADDRESSES)
		return PROXY_MORE;
	length = number_at(p + V2_AT_LENGTH);
	if (f != NULL && length < f->all)
		return PROXY_BAD_LENGTH;
	h->length = V2_AT_ADDRESSES + length;
	if (h->length > PROXY_HEADER_MAX)
		return PROXY_TOO_LONG;
	if (n < h->length)
		return PROXY_MORE;
	if (f != NULL)
		v2_take(p, f, h);
	else
		h->kind = PROXY_OWN;
	return PROXY_OK;
}

/* ---- either -------------------------------------------------------------- */

/* As far as both go. */
static bool
begins_with(const char *p, size_t n, const char *prefix, size_t prefix_n)
{
	return memcmp(p, prefix, n < prefix_n ? n : prefix_n) == 0;
}

enum proxy_result
proxy_protocol_read(const char *p, size_t n, struct proxy_header *h)
{
	*h = (struct proxy_header){ .length = 0 };
	if (n == 0)
		return PROXY_MORE;
	if (begins_with(p, n, V2_SIGNATURE, V2_SIGNATURE_N))
		return v2_read(p, n, h);
	if (begins_with(p, n, V1_PREFIX, sizeof V1_PREFIX - 1))
		return v1_read(p, n, h);
	return PROXY_ABSENT;
}
