#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/runtime.h"
#include "conf/settings.h"
#include "master/control_socket.h"
#include "master/listen_unix.h"

#define BACKLOG 64

/* 0, or -1 and errno.  The default lies where others may have been first. */
static int
make_dir(const char *path, bool is_default)
{
	mode_t mode = geteuid() == 0 ? 0755 : 0700;
	struct stat st;

	if (mkdir(path, mode) == 0)
		return chmod(path, mode); /* whatever the umask is */
	if (errno != EEXIST || (!is_default && stat(path, &st) == 0))
		return errno == EEXIST ? 0 : -1;
	if (lstat(path, &st) < 0)
		return -1;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

static int
make_runtime_dir(const struct settings *s, char *err, size_t err_bytes)
{
	bool is_default = s->runtime_dir[0] == '\0';
	char path[RUNTIME_PATH_MAX];

	if (is_default && s->control[0] != '\0')
		return 0;
	runtime_dir(s, path, sizeof path);
	if (make_dir(path, is_default) == 0)
		return 0;
	snprintf(err, err_bytes, "%.256s: %m", path);
	return -1;
}

int
control_socket_open(const struct settings *s, int *fd, struct unix_file *file,
    char *err, size_t err_bytes)
{
	static const struct listen_options options = { .mode = 0600,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1 };
	char path[RUNTIME_PATH_MAX], why[128];
	bool on = runtime_control(s, path, sizeof path);

	if (make_runtime_dir(s, err, err_bytes) < 0)
		return -1;
	if (!on)
		return 0;
	*fd = unix_open(path, &options, file, why, sizeof why);
	if (*fd >= 0 && listen(*fd, BACKLOG) == 0)
		return 1;
	if (*fd >= 0)
		snprintf(why, sizeof why, "%m");
	snprintf(err, err_bytes, "%.256s: %s", path, why);
	return -1;
}
