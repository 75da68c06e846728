#include "conf/suggest.h"

#include <string.h>

static size_t
min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Optimal string alignment, three rows of the table at a time. */
size_t
suggest_distance(const char *a, const char *b)
{
	size_t rows[3][SUGGEST_MAX + 1];
	size_t an = strlen(a), bn = strlen(b);

	if (an > SUGGEST_MAX || bn > SUGGEST_MAX)
		return SUGGEST_MAX + 1;
	for (size_t j = 0; j <= bn; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= an; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3];
		const size_t *two_above = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= bn; j++) {
			size_t change = a[i - 1] != b[j - 1];

			row[j] = min(above[j - 1] + change,
			    min(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				row[j] = min(row[j], two_above[j - 2] + 1);
		}
	}
	return rows[an % 3][bn];
}

void
suggest(struct suggestion *s, const char *name, const char *candidate)
{
	size_t n = strlen(name), m = strlen(candidate), d;
	size_t most = 1 + n / 3; /* beyond, it is another word */

	if (n > m + most || m > n + most)
		return; /* so many letters would have to come or go */
	d = suggest_distance(name, candidate);
	if (d > most || d >= m)
		return;
	if (s->name == NULL || d < s->distance)
		*s = (struct suggestion){ .name = candidate, .distance = d };
}
