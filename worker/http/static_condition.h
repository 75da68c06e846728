/* Conditional requests for a file, RFC 9110 13.  Pure. */
#ifndef WORKER_HTTP_STATIC_CONDITION_H
#define WORKER_HTTP_STATIC_CONDITION_H

#include <stddef.h>
#include <time.h>

#include <prefork/module.h>

#include "worker/str.h"

/* What GET or HEAD of a file with this strong entity tag (quotes included) and
 * modification time is to be answered with: 200, 304 or 412. */
unsigned static_condition(const pf_header *, size_t n, struct str etag,
    time_t modified, time_t now);

#endif
