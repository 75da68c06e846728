#include <stddef.h>
#include <strings.h>

#include "worker/http/mime.h"

struct mime {
	struct str suffix, type;
};

/* In the order of the suffixes: searched by halves. */
static const struct mime table[] = {
#define MIME(suffix, type)                                                     \
	{ { suffix, sizeof suffix - 1 }, { type, sizeof type - 1 } },
#define TEXT(suffix, type) MIME(suffix, type "; charset=utf-8")
#include "worker/http/mime.def"
#undef TEXT
#undef MIME
};

#define N_TYPES (sizeof table / sizeof table[0])

static struct str
suffix_of(struct str path)
{
	for (size_t i = path.n; i > 0 && path.p[i - 1] != '/'; i--)
		if (path.p[i - 1] == '.')
			return (struct str){ path.p + i, path.n - i };
	return (struct str){ 0 };
}

static int
compare(struct str a, struct str b)
{
	int d = strncasecmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	if (d != 0)
		return d;
	return a.n < b.n ? -1 : a.n > b.n;
}

struct str
mime_type(struct str path)
{
	struct str suffix = suffix_of(path);
	size_t low = 0, high = N_TYPES;

	while (suffix.n > 0 && low < high) {
		size_t middle = low + (high - low) / 2;
		int d = compare(suffix, table[middle].suffix);

		if (d == 0)
			return table[middle].type;
		if (d < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return STR("application/octet-stream");
}
