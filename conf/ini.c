#include "conf/ini.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

_Static_assert(INI_LINE_BYTES == 198, "the text below and prefork.ini.5");
static const char line_long[] = "longer than 198 bytes";

struct reader {
	FILE *f;
	const struct ini_sink *sink;
	void *arg;
	unsigned line;
	size_t bytes; /* read so far */

	/* The last pair, which the next line may continue; line 0: none. */
	struct {
		unsigned line;
		char key[INI_LINE_BYTES + 1];
		char value[INI_VALUE_BYTES + 1];
		size_t n; /* bytes of the value */
	} pair;
};

enum line_kind { LINE_OK, LINE_LONG, LINE_NUL, LINE_NONE };

/* A line into buf without its end; the rest of a long one is dropped. */
static enum line_kind
next_line(struct reader *r, char *buf, size_t size)
{
	enum line_kind kind = LINE_OK;
	size_t n = 0;
	int c = EOF;

	while (r->bytes <= INI_FILE_BYTES && (c = getc(r->f)) != EOF) {
		r->bytes++;
		if (c == '\n')
			break;
		if (c == '\0')
			kind = LINE_NUL;
		if (n < size - 1)
			buf[n++] = (char)c;
		else if (kind == LINE_OK)
			kind = LINE_LONG;
	}
	if (c == EOF && n == 0)
		return LINE_NONE;
	if (n > 0 && buf[n - 1] == '\r')
		n--;
	buf[n] = '\0';
	r->line++;
	return kind;
}

static void
drop_bom(char *buf)
{
	static const char bom[] = "\xef\xbb\xbf";

	if (strncmp(buf, bom, 3) == 0)
		memmove(buf, buf + 3, strlen(buf + 3) + 1);
}

static bool
is_comment(const char *p)
{
	return *p == ';' || *p == '#';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* ---- pairs of several lines ---------------------------------------------- */

static void
end_pair(struct reader *r)
{
	if (r->pair.line > 0)
		r->sink->on_pair(r->arg, r->pair.line, r->pair.key,
		    r->pair.value);
	r->pair.line = 0;
}

/* From inih. */
static int
begin_pair(void *arg, const char *section, const char *key, const char *value)
{
	struct reader *r = arg;

	(void)section;
	r->pair.line = r->line;
	snprintf(r->pair.key, sizeof r->pair.key, "%s", key);
	snprintf(r->pair.value, sizeof r->pair.value, "%s", value);
	r->pair.n = strlen(r->pair.value);
	return 1; /* 0 would be a syntax error; ours are reported already */
}

static bool
pair_goes_on(const struct reader *r)
{
	return r->pair.line > 0 && r->pair.n > 0 &&
	    r->pair.value[r->pair.n - 1] == ',';
}

/* Bytes of the text before blanks and a comment at its end. */
static size_t
text_bytes(const char *text)
{
	size_t n = 1;

	while (text[n] != '\0' && (text[n] != ';' || !is_blank(text[n - 1])))
		n++;
	while (n > 0 && is_blank(text[n - 1]))
		n--;
	return n;
}

/* NULL, or why the pair cannot have this text, too. */
static const char *
continue_pair(struct reader *r, const char *text)
{
	size_t n = text_bytes(text), room = sizeof r->pair.value - r->pair.n;

	if (1 + n >= room)
		return "longer than 16 KiB, with the lines above";
	r->pair.n += (size_t)snprintf(r->pair.value + r->pair.n, room, " %.*s",
	    (int)n, text);
	return NULL;
}

/* ---- lines --------------------------------------------------------------- */

/* NULL, or what is wrong with a header; *name is cut out of buf. */
static const char *
check_section(char *buf, char **name)
{
	char *end = strchr(buf, ']'), *rest;

	*name = NULL;
	if (end == NULL)
		return "[ without ]";
	rest = end + 1 + strspn(end + 1, " \t");
	if (*rest != '\0' && *rest != ';')
		return "text after ]";
	if (memchr(buf, ';', (size_t)(end - buf)) != NULL)
		return "a comment before ]";
	*end = '\0';
	*name = buf + 1;
	return NULL;
}

static const char *
check_pair(const char *buf)
{
	size_t key = strcspn(buf, "=:;");

	if (key == 0 || buf[key] != '=')
		return "neither [section], key = value nor a comment";
	return NULL;
}

static const char *
continue_line(struct reader *r, const char *text)
{
	if (!pair_goes_on(r))
		return "indented: lines begin at the margin, but those below a "
		       "value that ends in a comma";
	return continue_pair(r, text);
}

/* NULL, or what is wrong with the line; sections go to the sink. */
static const char *
check_line(struct reader *r, char *buf, enum line_kind kind)
{
	size_t indent = strspn(buf, " \t");
	const char *what;
	char *name;

	if (indent == 0 && *buf != '\0' && !is_comment(buf))
		end_pair(r);
	if (kind == LINE_NUL)
		return "a NUL byte";
	if (is_comment(buf + indent)) {
		*buf = '\0';
		return NULL;
	}
	if (kind == LINE_LONG)
		return line_long;
	if (buf[indent] == '\0')
		return NULL;
	if (indent > 0) {
		what = continue_line(r, buf + indent);
		*buf = '\0'; /* inih would take it for one more value */
		return what;
	}
	if (*buf != '[')
		return check_pair(buf);
	what = check_section(buf, &name);
	if (what == NULL)
		r->sink->on_section(r->arg, r->line, name);
	*buf = '\0'; /* our sink knows the section; inih need not */
	return what;
}

/* As fgets() for inih.  What it shall not see becomes an empty line. */
static char *
read_line(char *buf, int size, void *arg)
{
	struct reader *r = arg;
	/* One byte for the newline, one more than fits to see a CR. */
	char line[INI_LINE_BYTES + 2];
	enum line_kind kind = next_line(r, line, sizeof line);
	bool section;
	const char *what;
	size_t n;

	if (kind == LINE_NONE || r->bytes > INI_FILE_BYTES)
		return NULL;
	if (r->line == 1)
		drop_bom(line);
	section = *line == '[';
	if (kind == LINE_OK && strlen(line) > INI_LINE_BYTES)
		kind = LINE_LONG;
	what = check_line(r, line, kind);
	if (what != NULL) {
		r->sink->on_mistake(r->arg, r->line, what);
		*line = '\0';
		if (section)
			r->sink->on_section(r->arg, r->line, NULL);
	}
	n = strlen(line);
	if (n + 2 > (size_t)size) { /* another build of inih */
		r->sink->on_mistake(r->arg, r->line, "too long for inih");
		n = 0;
	}
	memcpy(buf, line, n);
	memcpy(buf + n, "\n", 2);
	return buf;
}

int
ini_read(FILE *f, const struct ini_sink *sink, void *arg)
{
	struct reader r = { .f = f, .sink = sink, .arg = arg };
	int bad_line;

	errno = 0;
	bad_line = ini_parse_stream(read_line, &r, begin_pair, &r);
	end_pair(&r);
	if (ferror(f))
		return -1;
	if (r.bytes > INI_FILE_BYTES)
		sink->on_mistake(arg, 0, "larger than 1 MiB");
	else if (bad_line != 0)
		sink->on_mistake(arg, bad_line > 0 ? (unsigned)bad_line : 0,
		    "inih cannot read it");
	return 0;
}
