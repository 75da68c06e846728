/*
 * Any bytes as the conditions and ranges of a request: a line is a field, its
 * first letter says which, and the first two bytes are the size of the file.
 * A part lies in the file, what comes twice is never a part, and If-Range lets
 * nothing pass but the entity tag.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <prefork/module.h>

#include "common/assert.h"
#include "worker/http/static_condition.h"
#include "worker/http/static_range.h"

#define MAX_FIELDS 64
#define MODIFIED   784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint16_t
field_of(char letter)
{
	switch (letter) {
	case 'r': return PF_H_RANGE;
	case 'i': return PF_H_IF_RANGE;
	case 'm': return PF_H_IF_MATCH;
	case 'n': return PF_H_IF_NONE_MATCH;
	case 's': return PF_H_IF_MODIFIED_SINCE;
	case 'u': return PF_H_IF_UNMODIFIED_SINCE;
	default: return PF_H_OTHER;
	}
}

static size_t
fields_of(const char *p, size_t n, pf_header *h)
{
	size_t found = 0;

	for (size_t at = 0; at < n && found < MAX_FIELDS;) {
		const char *lf = memchr(p + at, '\n', n - at);
		size_t end = lf ? (size_t)(lf - p) : n;

		if (end > at)
			h[found++] = (pf_header){ .id = field_of(p[at]),
				.value = { p + at + 1, end - at - 1 } };
		at = end + 1;
	}
	return found;
}

static void
check_part(const struct static_range *part, int64_t size)
{
	char text[STATIC_RANGE_TEXT_MAX];

	pf_assert(part->at >= 0 && part->n > 0);
	pf_assert(part->at < size && part->n <= size - part->at);
	pf_assert(static_range_text(part, size, text) < sizeof text);
	pf_assert(static_range_text(part, INT64_MAX, text) < sizeof text);
}

static void
check(const pf_header *h, size_t n, int64_t size)
{
	static const struct str etag = { "\"v,1\"", 5 };
	struct static_range part = { -1, -1 };
	unsigned status = static_condition(h, n, etag, MODIFIED, MODIFIED + 9);
	size_t n_ranges = 0;
	bool same = true;

	pf_assert(status == 200 || status == 304 || status == 412);
	status =
	    static_range(h, n, &(struct static_whole){ etag, size }, &part);
	for (size_t i = 0; i < n; i++) {
		n_ranges += h[i].id == PF_H_RANGE;
		if (h[i].id == PF_H_IF_RANGE)
			same =
			    str_eq((struct str){ h[i].value.p, h[i].value.n },
				etag);
	}
	pf_assert(status == 200 || same);
	pf_assert(status == 200 || n_ranges == 1);
	pf_assert(status == 200 || status == 206 || status == 416);
	if (status == 206)
		check_part(&part, size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static pf_header h[MAX_FIELDS];
	size_t n_text = n > 2 ? n - 2 : 0;
	char *text =
	    malloc(n_text ? n_text : 1); /* its end is that of a value */

	pf_assert(text != NULL);
	memcpy(text, data + n - n_text, n_text);
	check(h, fields_of(text, n_text, h),
	    n_text > 0 ? data[0] << 8 | data[1] : 0);
	free(text);
	return 0;
}
