#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/fd.h"
#include "worker/http/body.h"

#define WINDOW_BYTES 65536 /* of a file, seen by peek */

void
body_init(struct body *b, const struct h1_head *head,
    const struct h1_limits *h1, const struct body_limits *limits)
{
	*b = (struct body){
		.place = limits->stream ? BODY_RING : BODY_MEMORY,
		.chunked = head->chunked,
		.left = head->content_length,
		.max = limits->max,
		.fd = -1,
	};
	if (b->chunked)
		h1_chunk_init(&b->chunk, h1, limits->max);
	else
		b->complete = b->left == 0;
}

void
body_fini(struct body *b)
{
	if (b->place != BODY_SLICE)
		free(b->mem);
	b->mem = NULL;
	fd_close(&b->fd);
}

size_t
body_wants(struct body *b, size_t at_most)
{
	size_t room = at_most;

	if (b->complete || b->error != 0)
		return 0;
	if (b->place == BODY_RING && b->cap > 0 && b->cap - b->used < room)
		room = b->cap - b->used;
	b->starved = room == 0;
	if (!b->chunked && b->left < room)
		room = (size_t)b->left;
	return room;
}

/* ---- where it is kept -------------------------------------------------- */

static bool
file_write(struct body *b, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(b->fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return false;
		p += w;
		n -= (size_t)w;
	}
	return true;
}

/* It outgrew the memory it may have. */
static bool
memory_to_file(struct body *b, const char *dir)
{
	b->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (b->fd < 0 || !file_write(b, b->mem, b->used))
		return false;
	free(b->mem);
	b->mem = NULL;
	b->cap = b->at = b->used = 0;
	b->place = BODY_FILE;
	return true;
}

/* need <= limit; a length that is known is allocated once. */
static bool
memory_grow(struct body *b, size_t need, size_t limit)
{
	size_t cap = b->cap > 0 ? b->cap : 4096;
	char *p;

	while (cap < need)
		cap *= 2;
	if (!b->chunked && b->left <= limit - need)
		cap = need + (size_t)b->left;
	if (cap > limit)
		cap = limit;
	p = realloc(b->mem, cap);
	if (p == NULL)
		return false;
	b->mem = p;
	b->cap = cap;
	return true;
}

static bool
memory_store(struct body *b, const struct body_limits *limits, const char *p,
    size_t n)
{
	if (b->used + n > limits->memory)
		return memory_to_file(b, limits->dir) && file_write(b, p, n);
	if (b->used + n > b->cap &&
	    !memory_grow(b, b->used + n, limits->memory))
		return false;
	memcpy(b->mem + b->used, p, n);
	b->used += n;
	return true;
}

static bool
ring_store(struct body *b, const struct body_limits *limits, const char *p,
    size_t n)
{
	size_t end, first;

	if (b->mem == NULL) {
		b->cap = n > limits->memory ? n : limits->memory;
		b->mem = malloc(b->cap);
		if (b->mem == NULL)
			return false;
	}
	pf_assert(n <= b->cap - b->used);
	end = (b->at + b->used) % b->cap;
	first = n < b->cap - end ? n : b->cap - end;
	memcpy(b->mem + end, p, first);
	memcpy(b->mem, p + first, n - first);
	b->used += n;
	return true;
}

static bool
store(struct body *b, const struct body_limits *limits, const char *p, size_t n)
{
	if (n == 0)
		return true; /* framing only */
	switch (b->place) {
	case BODY_MEMORY: return memory_store(b, limits, p, n);
	case BODY_FILE: return file_write(b, p, n);
	case BODY_RING: return ring_store(b, limits, p, n);
	case BODY_SLICE: break; /* was complete from the start */
	}
	return false;
}

/* ---- feeding ----------------------------------------------------------- */

static enum body_result
decode_chunks(struct body *b, char *raw, size_t *n_in, size_t *n_out)
{
	enum h1_result r;

	*n_out = *n_in;
	r = h1_chunk_decode(&b->chunk, raw, n_in, raw, n_out);
	if (r == H1_OK)
		return BODY_DONE;
	if (r == H1_MORE)
		return BODY_MORE;
	if (r == H1_BODY_TOO_LONG)
		return BODY_TOO_BIG;
	if (r == H1_TOO_MANY_TRAILERS || r == H1_TRAILERS_TOO_LONG)
		return BODY_TRAILERS;
	return BODY_BAD;
}

/* Takes the framing off raw[0..*n_in); *n_out body bytes are at its front. */
static enum body_result
decode(struct body *b, char *raw, size_t *n_in, size_t *n_out)
{
	if (b->chunked)
		return decode_chunks(b, raw, n_in, n_out);
	if (b->received + b->left > b->max)
		return BODY_TOO_BIG;
	if (*n_in > b->left)
		*n_in = (size_t)b->left;
	*n_out = *n_in;
	b->left -= *n_in;
	return b->left == 0 ? BODY_DONE : BODY_MORE;
}

/* What its handler is told. */
static int
error_of(enum body_result result)
{
	switch (result) {
	case BODY_BAD: return PF_EPROTO;
	case BODY_TOO_BIG: return PF_ETOOBIG;
	case BODY_TRAILERS: return PF_ETRAILERS;
	case BODY_FAILED: return PF_ENOMEM;
	case BODY_MORE:
	case BODY_DONE: break;
	}
	return 0;
}

enum body_result
body_feed(struct body *b, const struct body_limits *limits, char *raw,
    size_t *n)
{
	size_t n_out;
	enum body_result result = decode(b, raw, n, &n_out);

	if (error_of(result) == 0) {
		b->received += n_out;
		if (!store(b, limits, raw, n_out))
			result = BODY_FAILED;
	}
	b->error = error_of(result);
	b->complete = result == BODY_DONE;
	return result;
}

enum body_result
body_feed_first(struct body *b, const struct body_limits *limits, char *raw,
    size_t *n)
{
	if (b->complete) {
		*n = 0;
		return BODY_DONE;
	}
	if (b->chunked || *n < b->left || b->left > b->max)
		return body_feed(b, limits, raw, n);
	*n = (size_t)b->left;
	b->place = BODY_SLICE;
	b->mem = raw;
	b->used = b->received = *n;
	b->left = 0;
	b->complete = true;
	return BODY_DONE;
}

/* ---- the handler's side ------------------------------------------------ */

/* The next window of the file. */
static int
file_refill(struct body *b)
{
	ssize_t n;

	if (b->mem == NULL) {
		b->mem = malloc(WINDOW_BYTES);
		if (b->mem == NULL)
			return PF_ENOMEM;
	}
	n = pread(b->fd, b->mem, WINDOW_BYTES, b->file_at);
	if (n < 0)
		return PF_EPROTO;
	b->at = 0;
	b->used = (size_t)n;
	b->file_at += n;
	return PF_OK;
}

int
body_peek(struct body *b, pf_str *out)
{
	int result;

	*out = (pf_str){ 0 };
	if (b->place == BODY_FILE && b->used == 0) {
		result = file_refill(b);
		if (result != PF_OK)
			return result;
	}
	if (b->used == 0) {
		if (b->error != 0)
			return b->error;
		return b->complete ? PF_EOF : PF_AGAIN;
	}
	out->p = b->mem + b->at;
	out->n = b->used;
	if (b->place == BODY_RING && b->cap - b->at < out->n)
		out->n = b->cap - b->at;
	return PF_OK;
}

bool
body_consume(struct body *b, size_t n)
{
	bool waits = b->starved;

	pf_assert(n <= b->used);
	b->used -= n;
	b->at += n;
	if (b->place == BODY_RING && b->at >= b->cap)
		b->at -= b->cap;
	b->starved = false;
	return waits;
}
