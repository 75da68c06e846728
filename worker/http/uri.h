/* Parts of request targets, RFC 3986.  Pure. */
#ifndef WORKER_HTTP_URI_H
#define WORKER_HTTP_URI_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/str.h"

/* Decodes percent-escapes once, RFC 3986 2.1.  out has room for raw.n bytes and
 * may be raw.p; *n_out is what it took.  false: a '%' without two hex digits,
 * or %00. */
bool uri_decode(struct str raw, char *out, size_t *n_out);

/* RFC 9110 7.2: uri-host [ ":" port ].  The host may not be empty, a port not
 * exceed 65535; user information is refused (RFC 9110 4.2.4). */
bool uri_authority_ok(struct str);

/* RFC 9112 3.2.3: the same, and the port is there. */
bool uri_authority_has_port(struct str);

#endif
