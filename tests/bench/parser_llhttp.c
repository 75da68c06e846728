#include <llhttp.h>

#include "tests/bench/parsers.h"

static int
on_url(llhttp_t *p, const char *at, size_t n)
{
	struct notes *notes = p->data;

	notes->url = (struct piece){ at, n };
	return 0;
}

static int
on_name(llhttp_t *p, const char *at, size_t n)
{
	struct notes *notes = p->data;

	notes->name[notes->n] = (struct piece){ at, n };
	return 0;
}

static int
on_value(llhttp_t *p, const char *at, size_t n)
{
	struct notes *notes = p->data;

	notes->value[notes->n++] = (struct piece){ at, n };
	return 0;
}

static int
on_complete(llhttp_t *p)
{
	struct notes *notes = p->data;

	notes->complete = true;
	return 0;
}

unsigned
parse_llhttp(const char *request, size_t n)
{
	static const llhttp_settings_t settings = { .on_url = on_url,
		.on_header_field = on_name,
		.on_header_value = on_value,
		.on_headers_complete = on_complete };
	static struct notes notes;
	llhttp_t p;

	notes.n = 0;
	notes.complete = false;
	llhttp_init(&p, HTTP_REQUEST, &settings);
	p.data = &notes;
	if (llhttp_execute(&p, request, n) != HPE_OK || !notes.complete)
		return 0;
	return notes.n;
}
