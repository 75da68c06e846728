/* The file of a unix socket. */
#ifndef MASTER_LISTEN_UNIX_H
#define MASTER_LISTEN_UNIX_H

#include <stddef.h>

#include "master/listen.h"

struct unix_file {
	char *path; /* NULL: none */
	dev_t dev;
	ino_t ino;
};

/* A bound socket, not yet listening, and its file; -1 with the reason. */
int unix_open(const char *path, const struct listen_options *,
    struct unix_file *, char *err, size_t err_bytes);
/* Removes the file unless somebody has replaced it. */
void unix_file_remove(struct unix_file *);
int unix_file_is_ours(const struct unix_file *);
/* Its owner and mode.  0, or -1 and errno: EEXIST when it was replaced. */
int unix_file_settle(const struct unix_file *, const struct listen_options *);
/* 0, or -1 with the reason. */
int unix_check(const char *path, char *err, size_t err_bytes);

#endif
