/* Where a server keeps what exists only while it runs. */
#ifndef CONF_RUNTIME_H
#define CONF_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>

struct settings;

/* Longer ones do not fit into the address of a unix socket anyway. */
#define RUNTIME_PATH_MAX 4400

/* server.runtime_dir, or its default for the user of this process. */
void runtime_dir(const struct settings *, char *path, size_t path_bytes);
/* admin.control, or its default; false: it is off.  NULL: all defaults. */
bool runtime_control(const struct settings *, char *path, size_t path_bytes);
/* Did nobody say where?  Then others may be using the same path. */
bool runtime_is_default(const struct settings *);

#endif
