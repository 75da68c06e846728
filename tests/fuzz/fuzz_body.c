/* Any bytes as a request body, kept in each way: in whatever steps it comes,
 * the same bytes can be read, and the same are left for the next request. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "worker/http/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct h1_limits h1 = { .request_line = 256,
	.field = 256,
	.fields = 8,
	.head = 256 };

struct outcome {
	enum body_result result;
	int end; /* what peek says after the last byte */
	size_t taken, n;
	char *bytes;
};

static void
read_some(struct body *b, struct outcome *o, size_t most)
{
	pf_str s;

	while ((o->end = body_peek(b, &s)) == PF_OK) {
		size_t k = s.n < most ? s.n : most;

		pf_assert(s.n > 0);
		memcpy(o->bytes + o->n, s.p, k);
		o->n += k;
		body_consume(b, k);
	}
}

/* A ring is read whenever it is full, anything else at the end. */
static struct outcome
receive(const struct h1_head *head, const struct body_limits *l,
    const uint8_t *data, size_t n, size_t step)
{
	struct outcome o = { .bytes = malloc(n + 1) };
	char *raw = malloc(n + 1);
	struct body b;

	pf_assert(o.bytes != NULL && raw != NULL);
	memcpy(raw, data, n);
	body_init(&b, head, &h1, l);
	o.result = b.complete ? BODY_DONE : BODY_MORE;
	while (o.result == BODY_MORE && o.taken < n) {
		size_t left = n - o.taken;
		size_t k = body_wants(&b, left < step ? left : step), given = k;

		if (k == 0) {
			pf_assert(b.starved);
			read_some(&b, &o, step);
			continue;
		}
		o.result = body_feed(&b, l, raw + o.taken, &k);
		pf_assert(k <= given);
		o.taken += k;
	}
	read_some(&b, &o, step);
	pf_assert((o.result == BODY_DONE) == (o.end == PF_EOF));
	pf_assert(o.n <= l->max);
	body_fini(&b);
	free(raw);
	return o;
}

/* What came before a mistake depends on the steps; what is right does not. */
static void
check_same(const struct outcome *a, const struct outcome *b)
{
	pf_assert(a->result == b->result && a->end == b->end);
	if (a->result != BODY_DONE && a->result != BODY_MORE)
		return;
	pf_assert(a->taken == b->taken && a->n == b->n);
	pf_assert(memcmp(a->bytes, b->bytes, a->n) == 0);
}

/* The first two bytes choose: framing, place, length. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct h1_head head = { 0 };
	struct body_limits l = { .max = 5000, .memory = 64, .dir = "/tmp" };
	struct outcome whole, pieces;

	if (n < 2)
		return 0;
	head.chunked = (data[0] & 1) != 0;
	l.stream = (data[0] & 2) != 0;
	l.memory = (data[0] & 4) != 0 ? 64 : 4096;
	if (!head.chunked)
		head.content_length = (uint64_t)data[1] * 8;
	data += 2;
	n -= 2;
	whole = receive(&head, &l, data, n, n + 1);
	for (size_t step = 1; step < 200; step = step * 3 + 2) {
		pieces = receive(&head, &l, data, n, step);
		check_same(&whole, &pieces);
		free(pieces.bytes);
	}
	free(whole.bytes);
	return 0;
}
