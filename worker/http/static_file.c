#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/http/static_file.h"

/* RESOLVE_BENEATH gives EAGAIN when something is renamed meanwhile. */
#define OPEN_TRIES 4

int
static_open_beneath(int root_fd, const char *name, uint64_t flags)
{
	struct open_how how = {
		.flags = O_CLOEXEC | flags,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd = -1;

	for (int i = 0; i < OPEN_TRIES && fd < 0; i++) {
		fd = syscall(SYS_openat2, root_fd, name, &how, sizeof how);
		if (fd < 0 && errno != EAGAIN && errno != EINTR)
			break;
	}
	return (int)fd;
}

static char *
put_hex(char *to, uint64_t v)
{
	int shift = 60;

	while (shift > 0 && v >> shift == 0)
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		*to++ = "0123456789abcdef"[v >> shift & 15];
	return to;
}

void
static_file_describe(struct static_file *f, time_t now)
{
	time_t modified = f->st.st_mtim.tv_sec;
	uint64_t modified_ns = (uint64_t)f->st.st_mtim.tv_sec * 1000000000u +
	    (uint64_t)f->st.st_mtim.tv_nsec;
	char *to = f->etag;

	*to++ = '"';
	to = put_hex(to, modified_ns);
	*to++ = '-';
	to = put_hex(to, (uint64_t)f->st.st_size);
	*to++ = '"';
	f->etag_n = (size_t)(to - f->etag);
	if (modified > now)
		modified = now;
	http_date_format(modified > 0 ? modified : 0, f->modified);
}

bool
static_file_open(struct static_file *f, int root_fd, const char *name)
{
	/* O_NONBLOCK: a named pipe without a writer must not hold us up. */
	f->fd = static_open_beneath(root_fd, name,
	    O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (f->fd < 0)
		return false;
	if (fstat(f->fd, &f->st) < 0) {
		int error = errno;

		close(f->fd);
		errno = error;
		return false;
	}
	return true;
}

bool
static_file_read(const struct static_file *f, char *buf, size_t n,
    int64_t offset)
{
	size_t have = 0;

	while (have < n) {
		ssize_t got =
		    pread(f->fd, buf + have, n - have, offset + (int64_t)have);

		if (got > 0)
			have += (size_t)got;
		else if (got == 0 || errno != EINTR)
			return false;
	}
	return true;
}
