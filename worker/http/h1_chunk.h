/* The chunked transfer coding, RFC 9112 7.1, decoded incrementally.  Pure.
 * Extensions are checked and ignored; whitespace stands where the grammar has
 * it (7.1.1), so not between a size and the end of its line. */
#ifndef WORKER_HTTP_H1_CHUNK_H
#define WORKER_HTTP_H1_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "worker/http/h1_parse.h"

enum {
	/* of one chunk at most, with whitespace and ";" -> 400 */
	H1_CHUNK_EXT_BYTES = 256,
	/* of all chunks: as much as a head, and a byte for each so many of the
	 * body; signed chunks have less -> 400 */
	H1_CHUNK_EXT_SHARE = 8,
};

struct h1_chunk {
	uint64_t left;          /* bytes of the chunk still to come */
	uint64_t body_left;     /* that the chunks still to come may have */
	uint64_t announced;     /* by the chunk sizes so far */
	uint64_t ext_total;     /* bytes of all chunk extensions */
	uint32_t ext_bytes;     /* of the extensions of the chunk in work */
	uint32_t trailer_bytes; /* of all trailer lines */
	uint32_t n_trailers;
	uint32_t max_head, max_trailers;
	uint8_t state;
	uint8_t digits; /* of the chunk size in work */
	uint8_t name_n; /* of the trailer in work; sizeof name + 1: longer */
	char name[24];
};

/* A body of max_body bytes at most: a size beyond that is refused, not the
 * bytes that come of it. */
void h1_chunk_init(struct h1_chunk *, const struct h1_limits *,
    uint64_t max_body);

/*
 * Decodes in[0..*n_in) into out[0..*n_out); out may be in itself.  Sets *n_in
 * to the bytes taken and *n_out to the bytes made.  H1_OK: the body with its
 * trailers (checked, dropped) is complete; what was not taken is the next
 * request.  H1_MORE: the input is used up, or out is full.  Anything else: a
 * mistake; close.
 */
enum h1_result h1_chunk_decode(struct h1_chunk *, const char *in, size_t *n_in,
    char *out, size_t *n_out);

#endif
