#include <http_parser.h>

#include "tests/bench/parsers.h"

static int
on_url(http_parser *p, const char *at, size_t n)
{
	struct notes *notes = p->data;

	notes->url = (struct piece){ at, n };
	return 0;
}

static int
on_name(http_parser *p, const char *at, size_t n)
{
	struct notes *notes = p->data;

	notes->name[notes->n] = (struct piece){ at, n };
	return 0;
}

static int
on_value(http_parser *p, const char *at, size_t n)
{
	struct notes *notes = p->data;

	notes->value[notes->n++] = (struct piece){ at, n };
	return 0;
}

static int
on_complete(http_parser *p)
{
	struct notes *notes = p->data;

	notes->complete = true;
	return 0;
}

unsigned
parse_http_parser(const char *request, size_t n)
{
	static const http_parser_settings settings = { .on_url = on_url,
		.on_header_field = on_name,
		.on_header_value = on_value,
		.on_headers_complete = on_complete };
	static struct notes notes;
	http_parser p = { .data = &notes };

	notes.n = 0;
	notes.complete = false;
	http_parser_init(&p, HTTP_REQUEST);
	if (http_parser_execute(&p, &settings, request, n) != n ||
	    !notes.complete)
		return 0;
	return notes.n;
}
