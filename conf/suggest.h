/* The nearest known name for a mistyped one. */
#ifndef CONF_SUGGEST_H
#define CONF_SUGGEST_H

#include <stddef.h>

#define SUGGEST_MAX 63 /* bytes of the longest name that is compared */

/* How many letters to insert, delete, change or swap with their neighbour;
 * SUGGEST_MAX + 1 when one of them is too long to compare. */
size_t suggest_distance(const char *, const char *);

struct suggestion {
	const char *name; /* NULL: nothing is near enough */
	size_t distance;
};

/* Keeps `candidate` (a literal) if it is nearer to `name` than what *s has. */
void suggest(struct suggestion *s, const char *name, const char *candidate);

#endif
