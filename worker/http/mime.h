/* Media types by file name.  Pure. */
#ifndef WORKER_HTTP_MIME_H
#define WORKER_HTTP_MIME_H

#include "worker/str.h"

/* By what follows the last dot of the last segment, in any case;
 * application/octet-stream for what is not in mime.def. */
struct str mime_type(struct str path);

#endif
