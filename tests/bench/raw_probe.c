/*
 * How long a single request takes while others keep the server busy: one at a
 * time, at an interval.
 *
 *   raw_probe PORT CONNECTIONS SECONDS INTERVAL_MS PATH
 *
 * CONNECTIONS are kept and used in turn; 0: a new one for each request, the
 * time to connect included.  Prints COUNT P50 P99 MAX, times in ms.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 256
#define SAMPLES     1000000

static double sample_ms[SAMPLES];

static void
die(const char *what)
{
	perror(what);
	exit(1); /* NOLINT(concurrency-mt-unsafe): there is one thread */
}

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void
wait_until(double ms)
{
	struct timespec t = { .tv_sec = (time_t)(ms / 1e3) };

	t.tv_nsec = (long)((ms - (double)t.tv_sec * 1e3) * 1e6);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
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

/* One request; the answer is small and arrives in one piece. */
static void
ask(int fd, const char *path)
{
	char text[8192];
	int n = snprintf(text, sizeof text,
	    "GET %.400s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
	ssize_t got;

	if (write(fd, text, (size_t)n) != n)
		die("write");
	got = read(fd, text, sizeof text);
	if (got < 12 || memcmp(text, "HTTP/1.1 200", 12) != 0) {
		fputs("no answer with status 200\n", stderr);
		_exit(1);
	}
}

static int
by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
report(size_t n)
{
	if (n == 0)
		_exit(1);
	qsort(sample_ms, n, sizeof *sample_ms, by_value);
	printf("%zu %.3f %.3f %.3f\n", n, sample_ms[n / 2],
	    sample_ms[n * 99 / 100], sample_ms[n - 1]);
}

int
main(int argc, char **argv)
{
	int kept[CONNECTIONS];
	size_t n = 0, n_kept;
	double start, end, interval;
	uint16_t port;

	if (argc != 6)
		return 2;
	port = (uint16_t)strtoul(argv[1], NULL, 10);
	n_kept = strtoul(argv[2], NULL, 10);
	interval = strtod(argv[4], NULL);
	if (n_kept > CONNECTIONS)
		return 2;
	for (size_t i = 0; i < n_kept; i++)
		kept[i] = connect_to(port);
	start = now_ms();
	end = start + strtod(argv[3], NULL) * 1e3;
	while (n < SAMPLES && start < end) {
		double begun = now_ms();
		int fd = n_kept > 0 ? kept[n % n_kept] : connect_to(port);

		ask(fd, argv[5]);
		sample_ms[n++] = now_ms() - begun;
		if (n_kept == 0)
			close(fd);
		start += interval;
		wait_until(start);
	}
	report(n);
	return 0;
}
