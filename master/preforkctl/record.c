#include <stdint.h>
#include <string.h>

#include "master/preforkctl/record.h"

/* What lies before `at` has been read; strings are unescaped in their place,
 * which their escapes are never shorter than. */
struct reader {
	char *at;
};

static void
skip_space(struct reader *r)
{
	r->at += strspn(r->at, " \t\r\n");
}

static int
take(struct reader *r, char c)
{
	skip_space(r);
	if (*r->at != c)
		return -1;
	r->at++;
	return 0;
}

static int
hex_digit(char c)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	const char *p = c != '\0' ? strchr(digits, c) : NULL;
	int n = p != NULL ? (int)(p - digits) : -1;

	return n > 15 ? n - 6 : n;
}

static char *
put_utf8(char *to, unsigned c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

/* After "\u"; NULL: no character that may stand alone. */
static char *
take_code(struct reader *r, char *to)
{
	unsigned c = 0;

	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(*r->at);

		if (digit < 0)
			return NULL;
		c = c << 4 | (unsigned)digit;
		r->at++;
	}
	if (c == 0 || (c >= 0xd800 && c <= 0xdfff))
		return NULL;
	return put_utf8(to, c);
}

/* After the backslash. */
static char *
take_escape(struct reader *r, char *to)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	char c = *r->at;
	const char *p = c != '\0' ? strchr(from, c) : NULL;

	if (p == NULL && c != 'u')
		return NULL;
	r->at++;
	if (p == NULL)
		return take_code(r, to);
	*to = into[p - from];
	return to + 1;
}

/* NULL: not a string. */
static const char *
take_string(struct reader *r)
{
	char *start, *to;

	if (take(r, '"') < 0)
		return NULL;
	for (start = to = r->at; *r->at != '"';) {
		char c = *r->at;

		if ((unsigned char)c < 0x20)
			return NULL; /* the end of the line, too */
		r->at++;
		if (c != '\\')
			*to++ = c;
		else
			to = take_escape(r, to);
		if (to == NULL)
			return NULL;
	}
	r->at++;
	*to = '\0';
	return start;
}

/* A number, true, false or null; what follows it in *next. */
static const char *
take_word(struct reader *r, char *next)
{
	static const char letters[] = "+-.0123456789Eaeflnrstu";
	char *start = r->at, *end = start + strspn(start, letters);

	if (end == start)
		return NULL;
	r->at = end;
	skip_space(r);
	*next = *r->at;
	*end = '\0';
	return start;
}

/* 1: more members follow; 0: that was the last one; -1. */
static int
take_member(struct reader *r, struct record *out)
{
	const char *name = take_string(r), *value;
	char next;

	if (name == NULL || take(r, ':') < 0 || out->n == RECORD_MEMBERS_MAX)
		return -1;
	skip_space(r);
	if (*r->at == '"') {
		value = take_string(r);
		skip_space(r);
		next = *r->at;
	} else {
		value = take_word(r, &next);
	}
	if (value == NULL || (next != ',' && next != '}'))
		return -1;
	r->at++;
	out->member[out->n].name = name;
	out->member[out->n++].value = strcmp(value, "null") == 0 ? NULL : value;
	return next == ',';
}

int
/* NOLINTNEXTLINE(readability-non-const-parameter): it is cut to pieces */
record_parse(char *line, struct record *out)
{
	struct reader r = { .at = line };
	int more;

	out->n = 0;
	if (take(&r, '{') < 0)
		return -1;
	do
		more = take_member(&r, out);
	while (more > 0);
	skip_space(&r);
	return more == 0 && *r.at == '\0' ? 0 : -1;
}

const char *
record_get(const struct record *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->member[i].name, name) == 0)
			return r->member[i].value;
	return NULL;
}
