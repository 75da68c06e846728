/* A part of a file, RFC 9110 14.  Pure. */
#ifndef WORKER_HTTP_STATIC_RANGE_H
#define WORKER_HTTP_STATIC_RANGE_H

#include <stddef.h>
#include <stdint.h>

#include <prefork/module.h>

#include "worker/str.h"

/* n bytes from `at` on. */
struct static_range {
	int64_t at, n;
};

/* The file of which a part is asked for. */
struct static_whole {
	struct str etag; /* strong, quotes included */
	int64_t size;
};

/* What a GET asks to be sent: 200 is the whole, 206 the part in *out, and 416
 * says that there is no such part.  What RFC 9110 allows to ignore is 200:
 * several ranges, other units, dates in If-Range, what is malformed. */
unsigned static_range(const pf_header *, size_t n, const struct static_whole *,
    struct static_range *out);

/* "bytes 18446744073709551615-18446744073709551615/18446744073709551615" */
#define STATIC_RANGE_TEXT_MAX 80

/* The value of Content-Range, of a 206 or, without a part, of a 416; its
 * length. */
size_t static_range_text(const struct static_range *, int64_t size,
    char out[STATIC_RANGE_TEXT_MAX]);

#endif
