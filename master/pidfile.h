/* The file that holds our process ID, locked while we run. */
#ifndef MASTER_PIDFILE_H
#define MASTER_PIDFILE_H

#include <stddef.h>

struct pidfile {
	int fd;     /* -1: none; ours holds the lock */
	char *path; /* absolute */
};

/* Takes the lock; a file left behind by a dead master does not matter.  0, or
 * -1 with the reason. */
int pidfile_open(struct pidfile *, const char *path, char *err,
    size_t err_bytes);
/* Removes the file if it is still ours. */
void pidfile_close(struct pidfile *);

#endif
