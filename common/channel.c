#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/assert.h"
#include "common/channel.h"
#include "common/fd.h"

#define HEARD_AT_ONCE 16

/* The message on the wire: the kind, then the text without its NUL. */
struct wire {
	uint32_t kind;
	char text[CHANNEL_TEXT_MAX];
};

union fd_control {
	char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
	struct cmsghdr align;
};

int
channel_pair(int fd[2])
{
	int result = socketpair(AF_UNIX,
	    SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd);

	if (result == 0)
		fd_refuse_fds(fd[0]);
	return result;
}

static void
attach_fds(struct msghdr *m, union fd_control *control, const int *fds,
    size_t n_fds)
{
	struct cmsghdr *c;

	memset(control, 0, sizeof *control);
	m->msg_control = control;
	m->msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
	c = CMSG_FIRSTHDR(m);
	pf_assert(c != NULL);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
}

int
channel_send(int fd, enum channel_kind kind, const char *text, const int *fds,
    size_t n_fds)
{
	struct wire wire = { .kind = (uint32_t)kind };
	size_t n = strnlen(text, CHANNEL_TEXT_MAX - 1);
	struct iovec iov = { &wire, offsetof(struct wire, text) + n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	union fd_control control;
	ssize_t sent;

	if (n_fds > CHANNEL_FDS_MAX) {
		errno = EINVAL;
		return -1;
	}
	memcpy(wire.text, text, n);
	if (n_fds > 0)
		attach_fds(&m, &control, fds, n_fds);
	do
		sent = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -1 : 0;
}

static void
take_fds(struct msghdr *m, struct channel_message *out)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	size_t n;

	for (size_t i = 0; i < CHANNEL_FDS_MAX; i++)
		out->fd[i] = -1;
	if (c == NULL || c->cmsg_level != SOL_SOCKET ||
	    c->cmsg_type != SCM_RIGHTS)
		return;
	n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(out->fd, CMSG_DATA(c), n * sizeof(int));
}

static void
close_fds(struct channel_message *m)
{
	for (size_t i = 0; i < CHANNEL_FDS_MAX; i++)
		fd_close(&m->fd[i]);
}

static int
refuse(struct channel_message *out)
{
	close_fds(out);
	errno = EPROTO;
	return -1;
}

int
channel_receive(int fd, struct channel_message *out)
{
	struct wire wire;
	struct iovec iov = { &wire, sizeof wire };
	union fd_control control;
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control };
	size_t text_n;
	ssize_t n;

	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -1;
	if (n == 0)
		return 0;
	take_fds(&m, out);
	if ((size_t)n < offsetof(struct wire, text) ||
	    wire.kind < CHANNEL_READY || wire.kind >= CHANNEL_KIND_END)
		return refuse(out);
	text_n = (size_t)n - offsetof(struct wire, text);
	if (text_n > sizeof out->text - 1)
		text_n = sizeof out->text - 1;
	out->kind = (enum channel_kind)wire.kind;
	memcpy(out->text, wire.text, text_n);
	out->text[text_n] = '\0';
	return 1;
}

int
channel_hear(const int *fd, channel_heard_fn *heard, void *ud)
{
	struct channel_message m;

	for (int n = 0; n < HEARD_AT_ONCE && *fd >= 0; n++) {
		int got = channel_receive(*fd, &m);

		if (got <= 0)
			return got < 0 && errno == EAGAIN ? 1 : got;
		heard(ud, &m);
		close_fds(&m);
	}
	return 1;
}
