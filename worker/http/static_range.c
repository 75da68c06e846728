#include "worker/http/static_range.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "worker/http/field.h"

/* The only field of that id; NULL: there is none, or several. */
static const pf_header *
only(const pf_header *h, size_t n, enum pf_header_id id)
{
	const pf_header *found = NULL;

	for (size_t i = 0; i < n; i++) {
		if (h[i].id != id)
			continue;
		if (found != NULL)
			return NULL;
		found = &h[i];
	}
	return found;
}

static bool
is_there(const pf_header *h, size_t n, enum pf_header_id id)
{
	for (size_t i = 0; i < n; i++)
		if (h[i].id == id)
			return true;
	return false;
}

/* RFC 9110 13.1.5: an entity tag counts if it is strong and the same.  A date
 * does not: it is weak unless no other version has the same (8.8.2.2), and we
 * cannot know when we told it, or whether somebody sets all times alike.  Who
 * has an entity tag must not send one, and each of our answers has it. */
static bool
if_range_holds(const pf_header *h, size_t n, const struct static_whole *w)
{
	const pf_header *f = only(h, n, PF_H_IF_RANGE);

	if (f == NULL)
		return !is_there(h, n, PF_H_IF_RANGE);
	return str_eq((struct str){ f->value.p, f->value.n }, w->etag);
}

/* The digits at *s, which become *out, or INT64_MAX if that is too small for
 * them; false: there is none. */
static bool
take_number(struct str *s, int64_t *out)
{
	size_t i = 0;
	int64_t v = 0;

	for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++)
		v = v > (INT64_MAX - 9) / 10 ? INT64_MAX :
					       v * 10 + (s->p[i] - '0');
	s->p += i;
	s->n -= i;
	*out = v;
	return i > 0;
}

static bool
take_dash(struct str *s)
{
	if (s->n == 0 || s->p[0] != '-')
		return false;
	s->p++;
	s->n--;
	return true;
}

/* "-" suffix-length */
static unsigned
suffix(struct str s, int64_t size, struct static_range *out)
{
	int64_t n;

	if (!take_dash(&s) || !take_number(&s, &n) || s.n > 0)
		return 200;
	if (n == 0)
		return 416;
	if (size == 0)
		return 200; /* all of nothing, of which no part can be named */
	if (n > size)
		n = size;
	*out = (struct static_range){ size - n, n };
	return 206;
}

/* first-pos "-" [ last-pos ] */
static unsigned
from_to(struct str s, int64_t size, struct static_range *out)
{
	int64_t first, last = INT64_MAX;

	if (!take_number(&s, &first) || !take_dash(&s) ||
	    (s.n > 0 && !take_number(&s, &last)) || s.n > 0 || last < first)
		return 200;
	if (first >= size)
		return 416;
	if (last >= size)
		last = size - 1;
	*out = (struct static_range){ first, last - first + 1 };
	return 206;
}

unsigned
static_range(const pf_header *h, size_t n, const struct static_whole *w,
    struct static_range *out)
{
	static const struct str unit = { "bytes=", 6 };
	const pf_header *f = only(h, n, PF_H_RANGE);
	struct str s;

	if (f == NULL || f->value.n <= unit.n ||
	    !field_name_eq((struct str){ f->value.p, unit.n }, unit) ||
	    !if_range_holds(h, n, w))
		return 200;
	s = field_trim(
	    (struct str){ f->value.p + unit.n, f->value.n - unit.n });
	return s.n > 0 && s.p[0] == '-' ? suffix(s, w->size, out) :
					  from_to(s, w->size, out);
}

size_t
static_range_text(const struct static_range *part, int64_t size,
    char out[STATIC_RANGE_TEXT_MAX])
{
	int n = part == NULL ?
	    snprintf(out, STATIC_RANGE_TEXT_MAX, "bytes */%" PRId64, size) :
	    snprintf(out, STATIC_RANGE_TEXT_MAX,
		"bytes %" PRId64 "-%" PRId64 "/%" PRId64, part->at,
		part->at + part->n - 1, size);

	return (size_t)n;
}
