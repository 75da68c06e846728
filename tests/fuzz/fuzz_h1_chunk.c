/* Any bytes as a chunked body: whole, byte by byte, in place and into little
 * room, the same bytes come out and as many are taken. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "worker/http/h1_chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct h1_limits limits = {
	.request_line = 256,
	.field = 256,
	.fields = 8,
	.head = 256,
};

struct decoded {
	enum h1_result result;
	size_t taken, made;
	char *out;
};

static struct decoded
decode(const char *in, size_t n, char *out, size_t step, size_t room_step)
{
	struct decoded d = { .result = H1_MORE };
	struct h1_chunk c;

	d.out = out;
	h1_chunk_init(&c, &limits, UINT64_MAX);
	for (;;) {
		size_t k = n - d.taken < step ? n - d.taken : step;
		size_t room = room_step < n - d.made ? room_step : n - d.made;
		size_t given = k, offered = room;

		d.result = h1_chunk_decode(&c, in + d.taken, &k, d.out + d.made,
		    &room);
		pf_assert(k <= given && room <= offered && room <= k);
		d.taken += k;
		d.made += room;
		if (d.result != H1_MORE || k == 0)
			return d;
	}
}

static void
check_same(const struct decoded *a, const struct decoded *b)
{
	pf_assert(a->result == b->result);
	pf_assert(a->taken == b->taken);
	pf_assert(a->made == b->made);
	pf_assert(memcmp(a->out, b->out, a->made) == 0);
}

static char *
copy_of(const uint8_t *data, size_t n)
{
	char *p = malloc(n ? n : 1);

	pf_assert(p != NULL);
	memcpy(p, data, n);
	return p;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *in = copy_of(data, n), *place = copy_of(data, n);
	char *out1 = copy_of(data, n), *out2 = copy_of(data, n);
	struct decoded whole = decode(in, n, out1, n, n);
	struct decoded other = decode(in, n, out2, 1, n);

	check_same(&whole, &other);
	other = decode(in, n, out2, n, 1);
	check_same(&whole, &other);
	other = decode(place, n, place, n, n);
	check_same(&whole, &other);
	free(in);
	free(place);
	free(out1);
	free(out2);
	return 0;
}
