/* The log files, opened while we may open anything. */
#ifndef MASTER_LOGS_H
#define MASTER_LOGS_H

#include <stddef.h>

struct priv;
struct settings;

struct logs {
	int error_fd;  /* never -1 once open */
	int access_fd; /* -1: off */
};

#define LOGS_NONE ((struct logs){ -1, -1 })

/* 0, or -1 with the reason; then *out is LOGS_NONE. */
int logs_open(struct logs *out, const struct settings *, const struct priv *,
    char *err, size_t err_bytes);
void logs_close(struct logs *);

#endif
