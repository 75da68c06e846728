/* The parsers that raw_parser compares: ours, and those that were there at
 * compile time, a file each. */
#ifndef BENCH_PARSERS_H
#define BENCH_PARSERS_H

#include <stdbool.h>
#include <stddef.h>

#define FIELDS 100

/* Of a whole request: how many fields it found; 0: it does not take it. */
typedef unsigned parse_fn(const char *request, size_t n);

/* Weak: NULL where the library is not installed. */
extern parse_fn parse_http_parser __attribute__((weak));
extern parse_fn parse_llhttp __attribute__((weak));

struct piece {
	const char *p;
	size_t n;
};

/* What a server would note: where names and values are. */
struct notes {
	struct piece url, name[FIELDS], value[FIELDS];
	unsigned n;
	bool complete;
};

#endif
