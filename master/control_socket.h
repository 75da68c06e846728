/* Where the control socket is. */
#ifndef MASTER_CONTROL_SOCKET_H
#define MASTER_CONTROL_SOCKET_H

#include <stddef.h>

struct settings;
struct unix_file;

/* Makes server.runtime_dir if it is missing.  1: *fd listens, and only its
 * owner may connect; 0: it is off; -1 with the reason.  Fd and file are the
 * caller's to close, on failure too. */
int control_socket_open(const struct settings *, int *fd, struct unix_file *,
    char *err, size_t err_bytes);

#endif
