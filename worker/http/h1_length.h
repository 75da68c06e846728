/* The fields that say how long a body is, RFC 9112 6.  Pure. */
#ifndef WORKER_HTTP_H1_LENGTH_H
#define WORKER_HTTP_H1_LENGTH_H

#include <stdint.h>

#include "worker/http/h1_parse.h"
#include "worker/str.h"

/* RFC 9110 8.6.  What is larger than a file can be is refused too. */
enum h1_result h1_content_length(struct str, uint64_t *out);

enum { /* what the transfer codings so far were */
	H1_TE_CHUNKED = 1,
	H1_TE_COMPRESSED = 2,
	H1_TE_UNKNOWN = 4,
	H1_TE_AFTER_CHUNKED = 8,
};

/* RFC 9112 6.1: adds one Transfer-Encoding value to the H1_TE_* of those
 * before it. */
unsigned h1_transfer_encoding(struct str, unsigned codings);

/* What all Transfer-Encoding values together amount to: H1_OK is chunked. */
enum h1_result h1_coding_verdict(unsigned codings);

#endif
