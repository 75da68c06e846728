/* A file below a root, and what a response says of it. */
#ifndef WORKER_HTTP_STATIC_FILE_H
#define WORKER_HTTP_STATIC_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "worker/http/http_date.h"

/* Two quotes, a dash, two numbers of up to 16 hex digits. */
#define STATIC_ETAG_MAX 35

struct static_file {
	int fd;
	struct stat st;
	size_t etag_n;
	char etag[STATIC_ETAG_MAX];
	char modified[HTTP_DATE_LENGTH];
};

/* openat2: by no symbolic link or dots out of the root.  -1 and errno. */
int static_open_beneath(int root_fd, const char *name, uint64_t flags);

/* Opens for reading, whatever type it is of, and fills fd and st.  false and
 * errno: nothing is open. */
bool static_file_open(struct static_file *, int root_fd, const char *name);

/* From st.  The entity tag is strong: of the modification time in ns and the
 * size, of which a write changes at least one in the grain of the file system's
 * clock.  The date is not in the future (RFC 9110 8.8.2.1). */
void static_file_describe(struct static_file *, time_t now);

/* n bytes from offset; false: it got shorter, or cannot be read. */
bool static_file_read(const struct static_file *, char *buf, size_t n,
    int64_t offset);

#endif
