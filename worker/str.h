/* A borrowed slice of bytes. */
#ifndef WORKER_STR_H
#define WORKER_STR_H

#include <stddef.h>
#include <string.h>

/* Not NUL-terminated, never freed through this type. */
struct str {
	const char *p;
	size_t n;
};

#define STR(lit) ((struct str){ "" lit, sizeof(lit) - 1 })

static inline int
str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

#endif
