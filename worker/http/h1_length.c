#include "worker/http/h1_length.h"

#include "worker/http/field.h"

#define MAX_DIGITS 19 /* 10^19 - 1 still fits in 64 bits */

/* 1*DIGIT.  A sign, a space or a list is how smuggling starts. */
enum h1_result
h1_content_length(struct str v, uint64_t *out)
{
	uint64_t n = 0;

	if (v.n == 0 || v.n > MAX_DIGITS)
		return H1_BAD_LENGTH;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return H1_BAD_LENGTH;
		n = n * 10 + (uint64_t)(v.p[i] - '0');
	}
	if (n > INT64_MAX)
		return H1_BAD_LENGTH;
	*out = n;
	return H1_OK;
}

/* RFC 9112 7: the registered names; "chunked" takes no parameters. */
static unsigned
coding_named(struct str name)
{
	static const struct str compressed[] = {
		{ "gzip", 4 },
		{ "x-gzip", 6 },
		{ "deflate", 7 },
		{ "compress", 8 },
		{ "x-compress", 10 },
	};

	if (field_name_eq(name, STR("chunked")))
		return H1_TE_CHUNKED;
	for (size_t i = 0; i < sizeof compressed / sizeof compressed[0]; i++)
		if (field_name_eq(name, compressed[i]))
			return H1_TE_COMPRESSED;
	return H1_TE_UNKNOWN;
}

static unsigned
coding_add(struct str name, unsigned before)
{
	unsigned coding = coding_named(name);

	if (before & H1_TE_CHUNKED)
		coding |= H1_TE_AFTER_CHUNKED;
	return before | coding;
}

unsigned
h1_transfer_encoding(struct str v, unsigned codings)
{
	for (;;) {
		const char *comma = v.n > 0 ? memchr(v.p, ',', v.n) : NULL;
		size_t n = comma ? (size_t)(comma - v.p) : v.n;

		codings =
		    coding_add(field_trim((struct str){ v.p, n }), codings);
		if (comma == NULL)
			return codings;
		v.p += n + 1;
		v.n -= n + 1;
	}
}

enum h1_result
h1_coding_verdict(unsigned codings)
{
	if (codings & H1_TE_AFTER_CHUNKED)
		return H1_CODING_AFTER_CHUNKED;
	if (codings & H1_TE_UNKNOWN)
		return H1_CODING_UNKNOWN;
	if ((codings & H1_TE_CHUNKED) == 0)
		return H1_CODING_NOT_CHUNKED;
	if (codings & H1_TE_COMPRESSED)
		return H1_CODING_UNSUPPORTED;
	return H1_OK;
}
