#include <stdbool.h>
#include <stdint.h>

#include "worker/http/http_date.h"
#include "worker/http/static_condition.h"

/* RFC 9110 8.8.3.2: weak comparison ignores the W/, strong never matches it. */
enum comparison { STRONG, WEAK };

/* RFC 9110 8.8.3: 1#entity-tag, or "*".  Tags may hold commas, so the list is
 * read tag by tag; what is malformed ends it. */
static bool
list_matches(struct str list, struct str etag, enum comparison how)
{
	size_t i = 0;

	if (str_eq(list, STR("*")))
		return true;
	while (i < list.n) {
		const char *from = list.p + i, *end;
		bool weak;

		if (*from == ' ' || *from == '\t' || *from == ',') {
			i++;
			continue;
		}
		weak = list.n - i > 2 && from[0] == 'W' && from[1] == '/';
		from += weak ? 2 : 0;
		if (*from != '"')
			return false;
		end = memchr(from + 1, '"',
		    (size_t)(list.p + list.n - (from + 1)));
		if (end == NULL)
			return false;
		end++;
		if ((how == WEAK || !weak) &&
		    str_eq((struct str){ from, (size_t)(end - from) }, etag))
			return true;
		i = (size_t)(end - list.p);
	}
	return false;
}

/* Over all fields of that name: they are one list. */
static bool
any_matches(const pf_header *h, size_t n, enum pf_header_id id, struct str etag)
{
	enum comparison how = id == PF_H_IF_MATCH ? STRONG : WEAK;

	for (size_t i = 0; i < n; i++)
		if (h[i].id == id &&
		    list_matches((struct str){ h[i].value.p, h[i].value.n },
			etag, how))
			return true;
	return false;
}

static size_t
count(const pf_header *h, size_t n, enum pf_header_id id)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += h[i].id == id;
	return found;
}

/* RFC 9110 13.1.3, 13.1.4: a date condition that is repeated or not a date is
 * ignored, which is false here. */
static bool
date_of(const pf_header *h, size_t n, enum pf_header_id id, time_t now,
    time_t *out)
{
	if (count(h, n, id) != 1)
		return false;
	while (h->id != id)
		h++;
	return http_date_parse((struct str){ h->value.p, h->value.n }, now,
	    out);
}

/* The order is that of RFC 9110 13.2.2. */
unsigned
static_condition(const pf_header *h, size_t n, struct str etag, time_t modified,
    time_t now)
{
	time_t date;

	if (count(h, n, PF_H_IF_MATCH) > 0) {
		if (!any_matches(h, n, PF_H_IF_MATCH, etag))
			return 412;
	} else if (date_of(h, n, PF_H_IF_UNMODIFIED_SINCE, now, &date) &&
	    modified > date) {
		return 412;
	}
	if (count(h, n, PF_H_IF_NONE_MATCH) > 0)
		return any_matches(h, n, PF_H_IF_NONE_MATCH, etag) ? 304 : 200;
	if (date_of(h, n, PF_H_IF_MODIFIED_SINCE, now, &date) &&
	    modified <= date)
		return 304;
	return 200;
}
