/*
 * The request parser alone, on a browser's request of 600 bytes, beside
 * Debian's http-parser (libhttp-parser-dev), if that was there at compile time.
 * Each finds method, target and all fields.  They take turns; the median of the
 * turns counts.
 *
 *   raw_parser
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef WITH_HTTP_PARSER
#include <http_parser.h>
#endif

#include "worker/http/h1_parse.h"

#define TURNS    41
#define TURN     20000 /* requests in one */
#define FIELDS   100
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

typedef unsigned parse_fn(void); /* how many fields it found */

_Noreturn static void
die(const char *why)
{
	fprintf(stderr, "raw_parser: %s\n", why);
	exit(1); /* NOLINT(concurrency-mt-unsafe): there is one thread */
}

static unsigned
parse_ours(void)
{
	static const struct h1_limits limits = { .request_line = 8192,
		.field = 8192,
		.fields = FIELDS,
		.head = 65536 };
	static struct h1_field field[FIELDS];
	struct h1_head head;

	h1_head_init(&head, &limits, field);
	if (h1_parse(&head, request, REQUEST_BYTES) != H1_OK)
		die("h1_parse does not take the request");
	return head.n_fields;
}

#ifdef WITH_HTTP_PARSER
/* What a server would note: where names and values are. */
struct notes {
	struct h1_span url, name[FIELDS], value[FIELDS];
	unsigned n;
	bool complete;
};

static void
note(struct h1_span *s, const char *at, size_t n)
{
	*s = (struct h1_span){ .at = (uint32_t)(at - request),
		.n = (uint32_t)n };
}

static int
on_url(http_parser *p, const char *at, size_t n)
{
	struct notes *notes = p->data;

	note(&notes->url, at, n);
	return 0;
}

static int
on_name(http_parser *p, const char *at, size_t n)
{
	struct notes *notes = p->data;

	note(&notes->name[notes->n], at, n);
	return 0;
}

static int
on_value(http_parser *p, const char *at, size_t n)
{
	struct notes *notes = p->data;

	note(&notes->value[notes->n++], at, n);
	return 0;
}

static int
on_complete(http_parser *p)
{
	struct notes *notes = p->data;

	notes->complete = true;
	return 0;
}

static unsigned
parse_theirs(void)
{
	static const http_parser_settings settings = { .on_url = on_url,
		.on_header_field = on_name,
		.on_header_value = on_value,
		.on_headers_complete = on_complete };
	static struct notes notes;
	http_parser p = { .data = &notes };

	notes.n = 0;
	notes.complete = false;
	http_parser_init(&p, HTTP_REQUEST);
	if (http_parser_execute(&p, &settings, request, REQUEST_BYTES) !=
		REQUEST_BYTES ||
	    !notes.complete)
		die("http-parser does not take the request");
	return notes.n;
}
#endif

/* Nanoseconds a request. */
static double
take_turn(parse_fn *parse)
{
	struct timespec from, to;
	unsigned fields = 0, one = parse();

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (unsigned i = 0; i < TURN; i++)
		fields += parse();
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
print(const char *who, double *ns, bool has_goal)
{
	double took = median(ns), rate = (double)REQUEST_BYTES / took;
	bool ok = took <= GOAL_NS || rate >= GOAL_GBS;

	printf("%-14s %7.1f ns/request  %5.2f GB/s", who, took, rate);
	if (has_goal)
		printf("   goal: <= %.0f ns or >= %.1f GB/s   %s", GOAL_NS,
		    GOAL_GBS, ok ? "PASS" : "FAIL");
	putchar('\n');
}

int
main(void)
{
	static double ours[TURNS];
#ifdef WITH_HTTP_PARSER
	static double theirs[TURNS];

	if (parse_ours() != parse_theirs())
		die("the parsers do not find the same");
#endif
	for (int i = 0; i < TURNS; i++) {
		ours[i] = take_turn(parse_ours);
#ifdef WITH_HTTP_PARSER
		theirs[i] = take_turn(parse_theirs);
#endif
	}
	printf("a request of %zu bytes with %u fields\n", REQUEST_BYTES,
	    parse_ours());
	print("prefork", ours, true);
#ifdef WITH_HTTP_PARSER
	print("http-parser", theirs, false);
#else
	puts("http-parser    absent: libhttp-parser-dev is not installed");
#endif
	return 0;
}
