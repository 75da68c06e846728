/* Any bytes as a PROXY header: every beginning of them wants more or has the
 * same result, and what is told of the client is whole. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "worker/net/proxy_protocol.h"

#define BYTE_BY_BYTE_MAX 600

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_header(const struct proxy_header *h, size_t n)
{
	char text[PEER_TEXT_MAX];

	pf_assert(h->length >= 15 && h->length <= n);
	pf_assert(h->length <= PROXY_HEADER_MAX);
	pf_assert((h->kind == PROXY_CLIENT) == (h->client.family != 0));
	pf_assert(
	    (h->kind == PROXY_CLIENT) == (peer_text(&h->client, text) > 0));
}

/* The parser sees a copy that ends where it is told the bytes end. */
static enum proxy_result
read_copy(const uint8_t *data, size_t n, struct proxy_header *h)
{
	char *copy = malloc(n ? n : 1);
	enum proxy_result r;

	pf_assert(copy != NULL);
	memcpy(copy, data, n);
	r = proxy_protocol_read(copy, n, h);
	free(copy);
	if (r == PROXY_OK)
		check_header(h, n);
	return r;
}

static void
check_part(const uint8_t *data, size_t n, enum proxy_result whole,
    const struct proxy_header *h)
{
	struct proxy_header part;
	enum proxy_result r = read_copy(data, n, &part);

	if (r == PROXY_MORE) {
		pf_assert(whole != PROXY_OK || n < h->length);
		return;
	}
	pf_assert(r == whole);
	if (r == PROXY_OK)
		pf_assert(part.length == h->length && part.kind == h->kind &&
		    peer_port(&part.client) == peer_port(&h->client) &&
		    peer_same_address(&part.client, &h->client));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct proxy_header h;
	enum proxy_result whole = read_copy(data, n, &h);

	/* more cannot be wanted for ever */
	pf_assert(whole != PROXY_MORE || n < PROXY_HEADER_MAX);
	for (size_t i = 0; i < n && i < BYTE_BY_BYTE_MAX; i++)
		check_part(data, i, whole, &h);
	if (n >= 2)
		check_part(data, (size_t)(data[n - 2] << 8 | data[n - 1]) % n,
		    whole, &h);
	return 0;
}
