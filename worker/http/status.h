/* Status codes and their reason phrases, RFC 9110 15. */
#ifndef WORKER_HTTP_STATUS_H
#define WORKER_HTTP_STATUS_H

#include "worker/str.h"

/* "Unknown" for a code that has none of its own. */
struct str status_reason(unsigned status);

#endif
