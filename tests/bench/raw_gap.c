/*
 * Whether somebody is always served: one connection that asks again as soon as
 * it is answered.  Where the server says Connection: close, the next request
 * has a new one.
 *
 *   raw_gap PORT SECONDS PATH
 *
 * Prints ANSWERS ERRORS GAP_MS: requests that were not answered with status
 * 200, and the longest time between the ends of two answers.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 5

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int
connect_to(uint16_t port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0)
		return fd;
	close(fd);
	return -1;
}

/* The length of a whole answer, once its head is here; until then 0. */
static size_t
measure(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n");
	const char *length = strcasestr(text, "\r\ncontent-length:");

	if (end == NULL || length == NULL || length > end)
		return 0;
	return (size_t)(end + 4 - text) + strtoul(length + 17, NULL, 10);
}

/* false: that was none. */
static bool
ask(int fd, const char *path, bool *closes)
{
	char text[8192];
	int n = snprintf(text, sizeof text,
	    "GET %.400s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
	size_t got = 0, whole = 0;

	if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		return false;
	while (whole == 0 || got < whole) {
		ssize_t more = read(fd, text + got, sizeof text - 1 - got);

		if (more <= 0)
			return false;
		got += (size_t)more;
		text[got] = '\0';
		whole = measure(text);
	}
	*closes = strcasestr(text, "\r\nconnection: close") != NULL;
	return memcmp(text, "HTTP/1.1 200", 12) == 0;
}

int
main(int argc, char **argv)
{
	unsigned long answers = 0, errors = 0;
	double last, end, gap = 0;
	uint16_t port;
	int fd = -1;

	if (argc != 4)
		return 2;
	port = (uint16_t)strtoul(argv[1], NULL, 10);
	last = now_ms();
	end = last + strtod(argv[2], NULL) * 1e3;
	while (last < end && now_ms() < end + PATIENCE_S * 1e3) {
		bool closes = true;

		if (fd < 0)
			fd = connect_to(port);
		if (fd >= 0 && ask(fd, argv[3], &closes)) {
			double now = now_ms();

			answers++;
			gap = now - last > gap ? now - last : gap;
			last = now;
		} else {
			errors++;
		}
		if (closes && fd >= 0) {
			close(fd);
			fd = -1;
		}
	}
	printf("%lu %lu %.3f\n", answers, errors, gap);
	return 0;
}
