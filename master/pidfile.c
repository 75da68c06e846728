#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "master/pidfile.h"

static int
is_same_file(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && stat(path, &there) == 0 &&
	    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

static void
say_who_holds(int fd, char *err, size_t err_bytes)
{
	char text[16] = "";
	ssize_t n = pread(fd, text, sizeof text - 1, 0);

	if (n <= 0) {
		snprintf(err, err_bytes, "already running");
		return;
	}
	text[strspn(text, "0123456789")] = '\0';
	snprintf(err, err_bytes, "already running as PID %s", text);
}

/* Opened and locked; a file that was replaced meanwhile is left alone. */
static int
open_locked(const char *path, char *err, size_t err_bytes)
{
	int fd;

	for (;;) {
		fd =
		    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		if (fd < 0)
			break;
		/* flock: the lock is the open file's, so no other close() of
		 * the file loses it, as it would with fcntl. */
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			if (errno == EWOULDBLOCK)
				say_who_holds(fd, err, err_bytes);
			else
				snprintf(err, err_bytes, "%m");
			fd_close(&fd);
			return -1;
		}
		if (is_same_file(fd, path))
			return fd;
		fd_close(&fd);
	}
	snprintf(err, err_bytes, "%m");
	return -1;
}

int
pidfile_open(struct pidfile *p, const char *path, char *err, size_t err_bytes)
{
	char text[16];
	int n = snprintf(text, sizeof text, "%d\n", (int)getpid());

	*p = (struct pidfile){ .fd = open_locked(path, err, err_bytes) };
	if (p->fd < 0)
		return -1;
	p->path = realpath(path, NULL);
	if (p->path != NULL && ftruncate(p->fd, 0) == 0 &&
	    pwrite(p->fd, text, (size_t)n, 0) == n)
		return 0;
	snprintf(err, err_bytes, "%m");
	pidfile_close(p);
	return -1;
}

void
pidfile_close(struct pidfile *p)
{
	if (p->fd >= 0 && p->path != NULL && is_same_file(p->fd, p->path))
		unlink(p->path);
	fd_close(&p->fd);
	free(p->path);
	p->path = NULL;
}
