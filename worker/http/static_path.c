#include <stdlib.h>

#include "worker/http/static_path.h"

#define INDEX "index.html"

bool
static_path_below_mount(const pf_info *in, struct str *out)
{
	size_t at = in->mount_len;

	if (at < in->path.n) {
		if (in->path.p[at] == '/')
			at++;
		else if (at == 0 || in->path.p[at - 1] != '/')
			return false;
	}
	*out = (struct str){ in->path.p + at, in->path.n - at };
	return true;
}

bool
static_path_is_hidden(struct str path)
{
	static const char known[] = ".well-known/";
	size_t skip = sizeof known - 1;
	size_t i =
	    path.n >= skip && memcmp(path.p, known, skip) == 0 ? skip : 0;

	for (; i < path.n; i++)
		if (path.p[i] == '.' && (i == 0 || path.p[i - 1] == '/'))
			return true;
	return false;
}

bool
static_path_ends_in_slash(struct str path)
{
	return path.n == 0 || path.p[path.n - 1] == '/';
}

bool
static_path_to_name(struct str path, char *out, size_t size)
{
	if (path.n + sizeof INDEX > size)
		return false;
	memcpy(out, path.p, path.n);
	if (static_path_ends_in_slash(path))
		memcpy(out + path.n, INDEX, sizeof INDEX);
	else
		out[path.n] = '\0';
	return true;
}

/* RFC 3986 3.3: what may stand in a path as it is. */
static bool
path_byte_ok(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') ||
	    (c != '\0' && strchr("-._~!$&'()*+,;=:@/", c) != NULL);
}

static char *
put_encoded(char *to, struct str s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (path_byte_ok(c)) {
			*to++ = (char)c;
			continue;
		}
		*to++ = '%';
		*to++ = hex[c >> 4];
		*to++ = hex[c & 15];
	}
	return to;
}

char *
static_location_new(const pf_info *in, size_t *n)
{
	struct str path = { in->path.p, in->path.n };
	char *out, *to;

	while (path.n > 0 && path.p[0] == '/') {
		path.p++;
		path.n--;
	}
	out = malloc(3 * path.n + in->query.n + 3);
	if (out == NULL)
		return NULL;
	to = out;
	*to++ = '/';
	to = put_encoded(to, path);
	if (path.n > 0)
		*to++ = '/';
	if (in->query.n > 0) {
		*to++ = '?';
		memcpy(to, in->query.p, in->query.n);
		to += in->query.n;
	}
	*n = (size_t)(to - out);
	return out;
}
