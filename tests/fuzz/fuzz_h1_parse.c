/* Any bytes as a request head: the result does not depend on the split, and
 * every span lies inside the head.  The last two bytes choose the split. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <prefork/module.h>

#include "common/assert.h"
#include "worker/http/field.h"
#include "worker/http/h1_parse.h"
#include "worker/str.h"

#define MAX_FIELDS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct h1_limits limits = {
	.request_line = 256,
	.field = 256,
	.fields = MAX_FIELDS,
	.head = 1024,
};

struct parsed {
	enum h1_result result;
	struct h1_head head;
	struct h1_field field[MAX_FIELDS];
};

static void
check_span(const struct h1_head *h, struct h1_span s)
{
	pf_assert(s.n == 0 || (s.at < h->length && s.n <= h->length - s.at));
}

static void
check_field(const struct h1_head *h, const char *buf, const struct h1_field *f)
{
	struct str name = { buf + f->name.at, f->name.n };
	struct str value = { buf + f->value.at, f->value.n };

	check_span(h, f->name);
	check_span(h, f->value);
	pf_assert(field_name_ok(name));
	pf_assert(memchr(name.p, '_', name.n) == NULL);
	pf_assert(field_value_ok(value));
	pf_assert(field_trim(value).n == value.n);
	pf_assert(f->id == field_id(name) && f->id < PF_H_COUNT);
}

/* "*" is for OPTIONS alone; else a path begins with a slash. */
static void
check_path(const struct h1_head *h, struct str path)
{
	bool asterisk = str_eq(path, STR("*"));

	pf_assert((path.n == 0) == (h->method_id == H1_METHOD_CONNECT));
	pf_assert(path.n == 0 || asterisk || path.p[0] == '/');
	pf_assert(!asterisk ||
	    (h->method_id == H1_METHOD_OPTIONS && h->query.n == 0));
}

static void
check_head(const struct h1_head *h, const char *buf, size_t n)
{
	pf_assert(h->length <= n && h->length <= limits.head);
	pf_assert(memcmp(buf + h->length - 4, "\r\n\r\n", 4) == 0);
	check_span(h, h->method);
	check_span(h, h->target);
	check_span(h, h->raw_path);
	check_span(h, h->query);
	check_span(h, h->authority);
	pf_assert(h->method.n > 0 && h->target.n > 0 && h->minor <= 1);
	check_path(h, h1_raw_path(h, buf));
	pf_assert(!h->chunked || (!h->has_length && h->minor == 1));
	pf_assert(h->has_length || h->content_length == 0);
	pf_assert(h->n_fields <= MAX_FIELDS);
	for (uint32_t i = 0; i < h->n_fields; i++)
		check_field(h, buf, &h->field[i]);
}

/* The parser sees a copy that ends where it is told the bytes end. */
static enum h1_result
parse_copy(struct h1_head *h, const uint8_t *data, size_t n)
{
	char *copy = malloc(n ? n : 1);
	enum h1_result r;

	pf_assert(copy != NULL);
	memcpy(copy, data, n);
	r = h1_parse(h, copy, n);
	if (r == H1_OK)
		check_head(h, copy, n);
	free(copy);
	return r;
}

/* First, `first` bytes, then `step` more each time. */
static void
parse_split(struct parsed *p, const uint8_t *data, size_t n, size_t first,
    size_t step)
{
	size_t at = first < n ? first : n;

	memset(p, 0, sizeof *p);
	h1_head_init(&p->head, &limits, p->field);
	p->result = parse_copy(&p->head, data, at);
	while (p->result == H1_MORE && at < n) {
		at = n - at < step ? n : at + step;
		p->result = parse_copy(&p->head, data, at);
	}
}

static void
check_same(const struct parsed *a, const struct parsed *b)
{
	pf_assert(a->result == b->result);
	if (a->result != H1_OK)
		return;
	pf_assert(a->head.length == b->head.length);
	pf_assert(a->head.n_fields == b->head.n_fields);
	pf_assert(memcmp(a->field, b->field, sizeof a->field) == 0);
	pf_assert(memcmp(&a->head.raw_path, &b->head.raw_path,
		      sizeof a->head.raw_path) == 0);
	pf_assert(a->head.asterisk == b->head.asterisk);
	pf_assert(memcmp(&a->head.authority, &b->head.authority,
		      sizeof a->head.authority) == 0);
	pf_assert(a->head.https == b->head.https);
	pf_assert(a->head.chunked == b->head.chunked);
	pf_assert(a->head.content_length == b->head.content_length);
	pf_assert(a->head.keepalive == b->head.keepalive);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct parsed whole, split, bytes;
	size_t at = 0;

	if (n >= 2)
		at = (size_t)(data[n - 2] << 8 | data[n - 1]) % n;
	parse_split(&whole, data, n, n, 1);
	parse_split(&split, data, n, at, n);
	check_same(&whole, &split);
	if (n < 2048) {
		parse_split(&bytes, data, n, 0, 1);
		check_same(&whole, &bytes);
	}
	return 0;
}
