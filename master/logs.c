#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "conf/settings.h"
#include "master/logs.h"
#include "master/priv.h"

#define LOG_MODE 0640

static bool
account_may_write(const struct priv *priv, const struct stat *st)
{
	return st->st_uid == priv->uid || (st->st_mode & S_IWOTH) != 0 ||
	    (st->st_gid == priv->gid && (st->st_mode & S_IWGRP) != 0);
}

/* Could a worker have put a link to this file there, to have it opened by root?
 * Not where it may not write, and it gains nothing by what it may write to. */
static bool
is_trap(int fd, const char *path, const struct priv *priv)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct stat file, around;

	snprintf(dir, sizeof dir, "%.*s",
	    slash != NULL ? (int)(slash - path + 1) : 1,
	    slash != NULL ? path : ".");
	return fstat(fd, &file) < 0 || stat(dir, &around) < 0 ||
	    (account_may_write(priv, &around) &&
		!account_may_write(priv, &file));
}

static int
existing_open(const char *path, int flags, const struct priv *priv)
{
	int fd = open(path, flags | O_CREAT, LOG_MODE);

	if (fd >= 0 && priv->drop && priv->uid != 0 && geteuid() == 0 &&
	    is_trap(fd, path, priv)) {
		fd_close(&fd);
		errno = EPERM;
	}
	return fd;
}

/* Only a file that we made is given away. */
static int
file_open(const char *path, const struct priv *priv)
{
	static const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY;
	int fd = open(path, flags | O_CREAT | O_EXCL, LOG_MODE);

	if (fd < 0)
		return errno == EEXIST ? existing_open(path, flags, priv) : -1;
	if (priv->drop && geteuid() == 0 &&
	    fchown(fd, priv->uid, priv->gid) < 0)
		fd_close(&fd);
	return fd;
}

/* Always an fd of our own; -1 and errno. */
static int
log_open(const char *name, const struct priv *priv)
{
	if (strcmp(name, "stderr") == 0)
		return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (strcmp(name, "stdout") == 0)
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	return file_open(name, priv);
}

int
logs_open(struct logs *out, const struct settings *settings,
    const struct priv *priv, char *err, size_t err_bytes)
{
	const char *name = settings->error_log;
	bool access = strcmp(settings->access_log, "off") != 0;

	*out = LOGS_NONE;
	out->error_fd = log_open(name, priv);
	if (out->error_fd < 0)
		goto fail;
	name = settings->access_log;
	if (access)
		out->access_fd = log_open(name, priv);
	if (!access || out->access_fd >= 0)
		return 0;
fail:
	snprintf(err, err_bytes, "cannot open the log %s: %m", name);
	logs_close(out);
	return -1;
}

void
logs_close(struct logs *l)
{
	fd_close(&l->error_fd);
	fd_close(&l->access_fd);
}
