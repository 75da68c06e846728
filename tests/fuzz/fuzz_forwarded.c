/*
 * Any bytes as the fields of a proxy: lines, the first letter of each being its
 * field.  What is told is well-formed, and the same when lists are split into a
 * line for each member, and when all that is quoted has a backslash.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <prefork/module.h>

#include "common/assert.h"
#include "conf/settings.h"
#include "conf/trust.h"
#include "worker/http/forwarded.h"
#include "worker/http/uri.h"

#define MAX_FIELDS 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint16_t
field_of(char letter)
{
	switch (letter) {
	case 'f': return PF_H_FORWARDED;
	case 'x': return PF_H_X_FORWARDED_FOR;
	case 'p': return PF_H_X_FORWARDED_PROTO;
	case 'h': return PF_H_X_FORWARDED_HOST;
	default: return PF_H_OTHER;
	}
}

static void
add(struct h1_head *h, uint16_t id, size_t at, size_t n)
{
	if (h->n_fields < MAX_FIELDS)
		h->field[h->n_fields++] = (struct h1_field){ .id = id,
			.value = { (uint32_t)at, (uint32_t)n } };
}

/* A quoted comma ends no member of Forwarded. */
static bool
may_split(uint16_t id, const char *p, size_t n)
{
	return id != PF_H_FORWARDED || memchr(p, '"', n) == NULL;
}

static void
add_split(struct h1_head *h, const char *buf, uint16_t id, size_t at, size_t n)
{
	const char *comma;

	while (may_split(id, buf + at, n) &&
	    (comma = memchr(buf + at, ',', n)) != NULL) {
		size_t k = (size_t)(comma - (buf + at));

		add(h, id, at, k);
		at += k + 1;
		n -= k + 1;
	}
	add(h, id, at, n);
}

/* Each byte between quotes that has no backslash gets one.  to has room for
 * twice as many; the number of its bytes. */
static size_t
quote_pairs(const char *p, size_t n, char *to)
{
	bool quoted = false;
	size_t made = 0;

	for (size_t i = 0; i < n; i++) {
		bool quote = p[i] == '"';

		if (quoted && !quote)
			to[made++] = '\\';
		if (quoted && p[i] == '\\' && ++i == n)
			break; /* it has no end */
		to[made++] = p[i];
		quoted ^= quote;
	}
	return made;
}

/* The same fields in `buf`, of which all quotes of Forwarded are pairs. */
static void
head_of_pairs(const struct h1_head *of, const char *from, struct h1_head *h,
    char *buf)
{
	size_t at = 0;

	for (uint32_t i = 0; i < of->n_fields; i++) {
		const struct h1_field *f = &of->field[i];
		const char *value = from + f->value.at;
		size_t n = f->value.n;

		if (f->id == PF_H_FORWARDED)
			n = quote_pairs(value, n, buf + at);
		else
			memcpy(buf + at, value, n);
		add(h, f->id, at, n);
		at += n;
	}
}

static void
heads_of(const char *buf, size_t n, struct h1_head *whole,
    struct h1_head *split)
{
	for (size_t at = 0; at < n;) {
		const char *lf = memchr(buf + at, '\n', n - at);
		size_t end = lf ? (size_t)(lf - buf) : n;
		uint16_t id = field_of(buf[at]);

		if (end > at) {
			add(whole, id, at + 1, end - at - 1);
			add_split(split, buf, id, at + 1, end - at - 1);
		}
		at = end + 1;
	}
}

static void
check(const struct forwarded *f, enum h1_result r)
{
	char text[PEER_TEXT_MAX];

	if (r != H1_OK) {
		pf_assert(h1_result_status(r) == 400);
		return;
	}
	pf_assert(f->client.family == 0 || peer_text(&f->client, text) > 0);
	pf_assert(f->host.n == 0 || uri_authority_ok(f->host));
}

static void
check_same(const struct forwarded *a, const struct forwarded *b)
{
	pf_assert(peer_same_address(&a->client, &b->client));
	pf_assert(peer_port(&a->client) == peer_port(&b->client));
	pf_assert(a->proto == b->proto);
	pf_assert(str_eq(a->host, b->host));
}

/* What is that short can be quoted in any way. */
static void
check_pairs(const struct h1_head *of, const char *buf, size_t n,
    const struct trust *trust, enum h1_result r, const struct forwarded *told)
{
	static struct h1_field field[MAX_FIELDS];
	static char pairs[2 * FORWARDED_QUOTED_MAX];
	struct h1_head h = { .field = field };
	struct forwarded f;

	if (n > FORWARDED_QUOTED_MAX)
		return;
	head_of_pairs(of, buf, &h, pairs);
	pf_assert(forwarded_read(&h, pairs, trust, &f) == r);
	if (r == H1_OK)
		check_same(told, &f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct h1_field whole_field[MAX_FIELDS], split_field[MAX_FIELDS];
	static struct trust trust;
	struct h1_head whole = { .field = whole_field };
	struct h1_head split = { .field = split_field };
	struct forwarded a, b;
	enum h1_result r;
	char *buf = malloc(n ? n : 1); /* its end is that of a value */

	pf_assert(buf != NULL);
	memcpy(buf, data, n);
	if (trust.at == NULL)
		pf_assert(trust_parse(&trust, "10.0.0.0/8, fd00::/8") == NULL);
	heads_of(buf, n, &whole, &split);
	r = forwarded_read(&whole, buf, &trust, &a);
	check(&a, r);
	check_pairs(&whole, buf, n, &trust, r, &a);
	if (split.n_fields < MAX_FIELDS) {
		pf_assert(forwarded_read(&split, buf, &trust, &b) == r);
		if (r == H1_OK)
			check_same(&a, &b);
	}
	free(buf);
	return 0;
}
