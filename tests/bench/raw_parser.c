/*
 * The request parser alone, on a browser's request of 600 bytes, beside
 * http-parser (libhttp-parser-dev) and llhttp (libllhttp-dev), if they were
 * there at compile time.  Each finds method, target and all fields.  They take
 * turns; the median of the turns counts.
 *
 *   raw_parser
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/parsers.h"
#include "worker/http/h1_parse.h"

#define TURNS    41
#define TURN     20000 /* requests in one */
#define GOAL_NS  400.0
#define GOAL_GBS 1.5

static const char request[] =
    "GET /articles/2026/11/a-server-in-c?page=2&sort=date HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) "
    "Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,"
    "image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Connection: keep-alive\r\n"
    "Referer: https://www.example.com/articles/\r\n"
    "Cookie: session=0123456789abcdef01234567; theme=dark; consent=partial\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "DNT: 1\r\n"
    "\r\n";
#define REQUEST_BYTES (sizeof request - 1)
_Static_assert(REQUEST_BYTES == 600, "the request has 600 bytes");

_Noreturn static void
die(const char *why)
{
	fprintf(stderr, "raw_parser: %s\n", why);
	exit(1); /* NOLINT(concurrency-mt-unsafe): there is one thread */
}

static unsigned
parse_ours(const char *text, size_t n)
{
	static const struct h1_limits limits = { .request_line = 8192,
		.field = 8192,
		.fields = FIELDS,
		.head = 65536 };
	static struct h1_field field[FIELDS];
	struct h1_head head;

	h1_head_init(&head, &limits, field);
	return h1_parse(&head, text, n) == H1_OK ? head.n_fields : 0;
}

static struct contender {
	const char *name, *package;
	parse_fn *parse; /* NULL: absent */
	double ns[TURNS];
} contenders[] = {
	{ .name = "prefork", .parse = parse_ours },
	{ "http-parser", "libhttp-parser-dev", parse_http_parser, { 0 } },
	{ "llhttp", "libllhttp-dev", parse_llhttp, { 0 } },
};
#define N_CONTENDERS (sizeof contenders / sizeof contenders[0])

/* Nanoseconds a request. */
static double
take_turn(parse_fn *parse)
{
	struct timespec from, to;
	unsigned fields = 0, one = parse(request, REQUEST_BYTES);

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (unsigned i = 0; i < TURN; i++)
		fields += parse(request, REQUEST_BYTES);
	clock_gettime(CLOCK_MONOTONIC, &to);
	if (fields != one * TURN)
		die("a parser does not find the same every time");
	return ((double)(to.tv_sec - from.tv_sec) * 1e9 +
		   (double)(to.tv_nsec - from.tv_nsec)) /
	    TURN;
}

static int
compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double
median(double *ns)
{
	qsort(ns, TURNS, sizeof *ns, compare);
	return ns[TURNS / 2];
}

static void
print(struct contender *c)
{
	double took = median(c->ns), rate = (double)REQUEST_BYTES / took;
	bool ok = took <= GOAL_NS || rate >= GOAL_GBS;

	printf("%-14s %7.1f ns/request  %5.2f GB/s", c->name, took, rate);
	if (c->parse == parse_ours)
		printf("   goal: <= %.0f ns or >= %.1f GB/s   %s", GOAL_NS,
		    GOAL_GBS, ok ? "PASS" : "FAIL");
	putchar('\n');
}

int
main(void)
{
	unsigned fields = parse_ours(request, REQUEST_BYTES);

	for (size_t k = 0; k < N_CONTENDERS; k++)
		if (contenders[k].parse != NULL &&
		    contenders[k].parse(request, REQUEST_BYTES) != fields)
			die("the parsers do not find the same");
	for (int i = 0; i < TURNS; i++)
		for (size_t k = 0; k < N_CONTENDERS; k++)
			if (contenders[k].parse != NULL)
				contenders[k].ns[i] =
				    take_turn(contenders[k].parse);
	printf("a request of %zu bytes with %u fields\n", REQUEST_BYTES,
	    fields);
	for (size_t k = 0; k < N_CONTENDERS; k++)
		if (contenders[k].parse != NULL)
			print(&contenders[k]);
		else
			printf("%-14s absent: %s is not installed\n",
			    contenders[k].name, contenders[k].package);
	return 0;
}
