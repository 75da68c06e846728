#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"
#include "master/listen_unix.h"

static int
address_for(const char *path, struct sockaddr_un *sun)
{
	size_t n = strlen(path);

	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (n >= sizeof sun->sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sun->sun_path, path, n + 1);
	return 0;
}

/* Does somebody answer there?  Non-blocking: EAGAIN is a full queue. */
static int
is_answered(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int refused;

	if (fd < 0)
		return 1;
	refused = connect(fd, (const struct sockaddr *)sun, sizeof *sun) < 0 &&
	    errno == ECONNREFUSED;
	fd_close(&fd);
	return !refused;
}

/* A socket file that outlived its server makes way; nothing else does. */
static int
clear_way(const struct sockaddr_un *sun)
{
	struct stat st;

	if (lstat(sun->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	if (is_answered(sun)) {
		errno = EADDRINUSE;
		return -1;
	}
	return unlink(sun->sun_path);
}

/* Nobody can connect before listen(): owner and mode are set by then. */
static int
bind_file(int fd, const struct sockaddr_un *sun,
    const struct listen_options *options, struct unix_file *file)
{
	mode_t was = umask(0177);
	int bound = bind(fd, (const struct sockaddr *)sun, sizeof *sun);
	struct stat st;

	umask(was);
	if (bound < 0)
		return -1;
	file->path = strdup(sun->sun_path);
	if (file->path == NULL || lstat(sun->sun_path, &st) < 0)
		return -1;
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	return unix_file_settle(file, options);
}

int
unix_open(const char *path, const struct listen_options *options,
    struct unix_file *file, char *err, size_t err_bytes)
{
	struct sockaddr_un sun;
	int fd = -1;

	if (address_for(path, &sun) < 0 || clear_way(&sun) < 0)
		goto fail;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		goto fail;
	fd_refuse_fds(fd);
	if (bind_file(fd, &sun, options, file) < 0)
		goto fail;
	return fd;
fail:
	snprintf(err, err_bytes, "%m");
	unix_file_remove(file);
	fd_close(&fd);
	return -1;
}

static bool
is_it(const struct unix_file *file, const struct stat *st)
{
	return S_ISSOCK(st->st_mode) && st->st_dev == file->dev &&
	    st->st_ino == file->ino;
}

/* By a descriptor: whoever may write to the directory could put a link there
 * meanwhile, and root would give away what that leads to. */
int
unix_file_settle(const struct unix_file *file,
    const struct listen_options *options)
{
	int fd = open(file->path, O_PATH | O_NOFOLLOW | O_CLOEXEC), result = -1;
	char link[32];
	struct stat st;

	if (fd < 0)
		return -1;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	if (fstat(fd, &st) < 0 || !is_it(file, &st))
		errno = EEXIST;
	else if (fchownat(fd, "", options->uid, options->gid, AT_EMPTY_PATH) ==
	    0)
		result = chmod(link, options->mode);
	fd_close(&fd);
	return result;
}

int
unix_file_is_ours(const struct unix_file *file)
{
	struct stat st;

	return file->path != NULL && lstat(file->path, &st) == 0 &&
	    is_it(file, &st);
}

void
unix_file_remove(struct unix_file *file)
{
	if (unix_file_is_ours(file))
		unlink(file->path);
	free(file->path);
	*file = (struct unix_file){ 0 };
}

int
unix_check(const char *path, char *err, size_t err_bytes)
{
	struct sockaddr_un sun;
	char *slash;

	if (address_for(path, &sun) < 0)
		goto fail;
	slash = strrchr(sun.sun_path, '/');
	if (slash == NULL)
		return 0;
	slash[slash == sun.sun_path] = '\0'; /* keep the slash of "/" */
	if (access(sun.sun_path, W_OK | X_OK) == 0)
		return 0;
fail:
	snprintf(err, err_bytes, "%m");
	return -1;
}
