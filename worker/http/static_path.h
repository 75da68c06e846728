/* From the path of a request to the name of a file.  Pure. */
#ifndef WORKER_HTTP_STATIC_PATH_H
#define WORKER_HTTP_STATIC_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include <prefork/module.h>

#include "worker/str.h"

/* What lies behind the mount, without the slash before it.  false: nothing that
 * a file could have, such as "*". */
bool static_path_below_mount(const pf_info *, struct str *out);

/* Whatever begins with a dot is not there, but for RFC 8615's first segment. */
bool static_path_is_hidden(struct str);

bool static_path_ends_in_slash(struct str);

/* The name to open, NUL-terminated; for a directory that of its index.  false:
 * longer than size. */
bool static_path_to_name(struct str, char *out, size_t size);

/* "/path/?query", malloc'd; NULL when memory is out.  Encoded anew from the
 * decoded path, and with one leading slash whatever came: "//host" and
 * "/\\host" name other servers. */
char *static_location_new(const pf_info *, size_t *n);

#endif
