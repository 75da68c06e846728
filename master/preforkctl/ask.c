#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"
#include "master/preforkctl/ask.h"

#define ANSWER_TIME_S 10

/* Anybody may make a socket in a public place: a stranger's is not asked. */
static int
is_trusted(int fd)
{
	struct ucred peer;
	socklen_t n = sizeof peer;

	if (geteuid() == 0)
		return 1; /* root names sockets of other accounts on purpose */
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
	    (peer.uid == 0 || peer.uid == geteuid());
}

static int
set_time_limits(int fd, bool patient)
{
	static const struct timeval limit = { .tv_sec = ANSWER_TIME_S };

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0)
		return -1;
	if (patient)
		return 0;
	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

/* -1 and errno. */
static int
connect_to(const char *path, bool patient)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd;

	if (n >= sizeof sun.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sun.sun_path, path, n + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && set_time_limits(fd, patient) == 0 &&
	    connect(fd, (const struct sockaddr *)&sun, sizeof sun) == 0)
		return fd;
	fd_close(&fd);
	return -1;
}

enum ask_result
ask_server(const char *path, const char *line, bool patient, FILE **answer,
    char *err, size_t err_bytes)
{
	int fd = connect_to(path, patient);

	if (fd < 0) {
		bool nobody = errno == ENOENT || errno == ECONNREFUSED;

		snprintf(err, err_bytes, "%s %.256s: %m",
		    nobody ? "no server at" : "cannot reach the server at",
		    path);
		return nobody ? ASK_NO_SERVER : ASK_FAILED;
	}
	if (!is_trusted(fd)) {
		snprintf(err, err_bytes,
		    "the server at %.256s is another user's", path);
		fd_close(&fd);
		return ASK_FAILED;
	}
	/* EPIPE: it has answered already, that it will not listen. */
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) ==
		(ssize_t)strlen(line) ||
	    errno == EPIPE)
		*answer = fdopen(fd, "r");
	else
		*answer = NULL;
	if (*answer != NULL)
		return ASK_OK;
	snprintf(err, err_bytes, "cannot ask the server at %.256s: %m", path);
	fd_close(&fd);
	return ASK_FAILED;
}
