/*
 * The limit: what an HTTP server could do if it neither parsed nor timed nor
 * logged.  One process, one epoll set; per request one read, a look for the
 * empty line and one write of a fixed answer.
 *
 *   raw_respond PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH   128
#define REQUEST 16384

static const char answer[] = "HTTP/1.1 200 OK\r\n"
			     "Content-Type: text/plain\r\n"
			     "Content-Length: 13\r\n"
			     "\r\n"
			     "Hello, World!";

static void
die(const char *what)
{
	perror(what);
	exit(1); /* NOLINT(concurrency-mt-unsafe): there is one thread */
}

static int
listen_on(uint16_t port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		die("listen");
	return fd;
}

static void
watch(int epoll_fd, int fd)
{
	struct epoll_event want = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &want) < 0)
		die("epoll_ctl");
}

static void
take_connections(int epoll_fd, int listen_fd)
{
	int fd;

	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK)) >= 0)
		watch(epoll_fd, fd);
}

/* The answer is shorter than any socket buffer: a short write means trouble. */
static void
serve(int fd)
{
	char request[REQUEST];
	ssize_t n = read(fd, request, sizeof request);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0 && memmem(request, (size_t)n, "\r\n\r\n", 4) == NULL)
		return;
	if (n <= 0 || write(fd, answer, sizeof answer - 1) < 0)
		close(fd);
}

int
main(int argc, char **argv)
{
	struct epoll_event ready[BATCH];
	int epoll_fd = epoll_create1(0), listen_fd;

	if (argc != 2)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	listen_fd = listen_on((uint16_t)strtoul(argv[1], NULL, 10));
	watch(epoll_fd, listen_fd);
	for (;;) {
		int n = epoll_wait(epoll_fd, ready, BATCH, -1);

		for (int i = 0; i < n; i++) {
			if (ready[i].data.fd == listen_fd)
				take_connections(epoll_fd, listen_fd);
			else
				serve(ready[i].data.fd);
		}
	}
}
