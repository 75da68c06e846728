#include <inttypes.h>
#include <stddef.h>

#include "master/json.h"

#define REPLACEMENT "\xef\xbf\xbd"

/* How many bytes the sequence beginning with c has; 0: none begins so. */
static size_t
utf8_length(unsigned char c)
{
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		return 2;
	if ((c & 0xf0) == 0xe0)
		return 3;
	return c >= 0xf0 && c <= 0xf4 ? 4 : 0;
}

/* The bytes of the character at p, which a NUL ends; 0: it is not UTF-8
 * (RFC 3629: no long forms, no surrogates, nothing beyond U+10FFFF). */
static size_t
utf8_character(const unsigned char *p)
{
	size_t n = utf8_length(p[0]);

	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static void
put_string(FILE *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n;

	fputc('"', out);
	for (; *p != '\0'; p += n > 0 ? n : 1) {
		n = utf8_character(p);
		if (n == 0)
			fputs(REPLACEMENT, out);
		else if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			fprintf(out, "\\u%04x", *p);
		else
			fwrite(p, 1, n, out);
	}
	fputc('"', out);
}

void
json_begin(FILE *out, const char *record)
{
	fputs("{\"record\":", out);
	put_string(out, record);
}

void
json_text(FILE *out, const char *name, const char *text)
{
	fprintf(out, ",\"%s\":", name);
	if (text == NULL)
		fputs("null", out);
	else
		put_string(out, text);
}

void
json_number(FILE *out, const char *name, uint64_t n)
{
	fprintf(out, ",\"%s\":", name);
	if (n == JSON_NONE)
		fputs("null", out);
	else
		fprintf(out, "%" PRIu64, n);
}

void
json_end(FILE *out)
{
	fputs("}\n", out);
}
