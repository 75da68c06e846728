/*
 * The cheapest client: keeps every one of its connections waiting for one
 * answer, and looks at no more of an answer than its length, which it learns
 * from the first one.
 *
 *   raw_load PORT CONNECTIONS SECONDS PATH
 *
 * Prints REQUESTS SECONDS.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH       128
#define CONNECTIONS 4096

static char request[512];
static size_t request_bytes;
static size_t answer_bytes;

struct connection {
	int fd;
	size_t got; /* bytes of the answer that is under way */
};

static struct connection connections[CONNECTIONS];

static void
die(const char *what)
{
	perror(what);
	exit(1); /* NOLINT(concurrency-mt-unsafe): there is one thread */
}

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int
connect_to(uint16_t port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

static void
ask(int fd)
{
	if (write(fd, request, request_bytes) != (ssize_t)request_bytes)
		die("write");
}

/* The length of a whole answer, once its head is here; until then 0. */
static size_t
measure(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n");
	const char *length = strcasestr(text, "\r\ncontent-length:");

	if (end == NULL)
		return 0;
	if (length == NULL || length > end) {
		fputs("the answer has no Content-Length\n", stderr);
		_exit(1);
	}
	return (size_t)(end + 4 - text) + strtoul(length + 17, NULL, 10);
}

static void
learn(uint16_t port)
{
	char text[65536];
	size_t got = 0;
	int fd = connect_to(port);

	ask(fd);
	while (answer_bytes == 0 || got < answer_bytes) {
		ssize_t n = read(fd, text + got, sizeof text - 1 - got);

		if (n <= 0)
			die("read");
		got += (size_t)n;
		text[got] = '\0';
		answer_bytes = measure(text);
	}
	close(fd);
}

/* 1 when an answer is complete and the next request is on its way. */
static int
advance(struct connection *c)
{
	static char sink[65536];
	ssize_t n = read(c->fd, sink, sizeof sink);

	if (n <= 0)
		die("connection lost");
	c->got += (size_t)n;
	if (c->got < answer_bytes)
		return 0;
	c->got = 0;
	ask(c->fd);
	return 1;
}

static void
run(int epoll_fd, double seconds)
{
	struct epoll_event ready[BATCH];
	unsigned long answers = 0;
	double start = now_s(), now = start;

	while (now - start < seconds) {
		int n = epoll_wait(epoll_fd, ready, BATCH, 100);

		for (int i = 0; i < n; i++)
			answers += (unsigned long)advance(ready[i].data.ptr);
		now = now_s();
	}
	printf("%lu %.6f\n", answers, now - start);
}

int
main(int argc, char **argv)
{
	int epoll_fd = epoll_create1(0);
	unsigned long n;
	uint16_t port;

	if (argc != 5)
		return 2;
	port = (uint16_t)strtoul(argv[1], NULL, 10);
	n = strtoul(argv[2], NULL, 10);
	if (n > CONNECTIONS)
		return 2;
	request_bytes = (size_t)snprintf(request, sizeof request,
	    "GET %.400s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", argv[4]);
	learn(port);
	for (unsigned long i = 0; i < n; i++) {
		struct epoll_event want = { .events = EPOLLIN,
			.data.ptr = &connections[i] };

		connections[i].fd = connect_to(port);
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connections[i].fd, &want);
		ask(connections[i].fd);
	}
	run(epoll_fd, strtod(argv[3], NULL));
	return 0;
}
