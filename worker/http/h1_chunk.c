#include "worker/http/h1_chunk.h"

#include <stdbool.h>
#include <string.h>

#include <prefork/module.h>

#include "worker/http/field.h"

#define MAX_DIGITS 16

/*
 *   SIZE     1*HEXDIG      an extension, or CR SIZE_LF
 *   EXT_*    extensions    see ext_next
 *   SIZE_LF  LF            DATA, or TRAILER after a size of 0
 *   DATA     left bytes    DATA_CR
 *   DATA_CR, DATA_LF       CRLF, then SIZE
 *   TRAILER  line begins   CR END_LF, else NAME
 *   NAME     tchar         ':' VALUE
 *   VALUE    vchar         CR VALUE_LF
 *   VALUE_LF LF            TRAILER
 *   END_LF   LF            DONE
 */
enum {
	SIZE,
	EXT_END,      /* BWS: only ";" may follow */
	EXT_BEGIN,    /* BWS before a name */
	EXT_NAME,     /* token */
	EXT_NAME_END, /* BWS behind it */
	EXT_EQUALS,   /* BWS before a value */
	EXT_TOKEN,    /* a value */
	EXT_QUOTED,   /* a value in quotes */
	EXT_PAIR,     /* behind a backslash in it */
	EXT_UNQUOTED, /* behind it */
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER,
	NAME,
	VALUE,
	VALUE_LF,
	END_LF,
	DONE
};

/* Kinds of bytes in an extension. */
enum {
	KIND_BWS,
	KIND_SEMICOLON,
	KIND_EQUALS,
	KIND_TCHAR,
	KIND_OTHER, /* stands for itself within quotes, as the above do */
	KIND_QUOTE,
	KIND_BACKSLASH,
	KIND_CR,
	KIND_COUNT
};

/*
 * RFC 9112 7.1.1: *( BWS ";" BWS name [ BWS "=" BWS value ] ), a value being a
 * token or a quoted-string (RFC 9110 5.6.4).  0: not here; neither CR nor LF is
 * within quotes, where some would end the line and others not.
 */
static const uint8_t ext_next[][KIND_COUNT] = {
	[EXT_END] = { [KIND_BWS] = EXT_END, [KIND_SEMICOLON] = EXT_BEGIN },
	[EXT_BEGIN] = { [KIND_BWS] = EXT_BEGIN, [KIND_TCHAR] = EXT_NAME },
	[EXT_NAME] = { [KIND_BWS] = EXT_NAME_END,
	    [KIND_SEMICOLON] = EXT_BEGIN,
	    [KIND_EQUALS] = EXT_EQUALS,
	    [KIND_TCHAR] = EXT_NAME,
	    [KIND_CR] = SIZE_LF },
	[EXT_NAME_END] = { [KIND_BWS] = EXT_NAME_END,
	    [KIND_SEMICOLON] = EXT_BEGIN,
	    [KIND_EQUALS] = EXT_EQUALS },
	[EXT_EQUALS] = { [KIND_BWS] = EXT_EQUALS,
	    [KIND_QUOTE] = EXT_QUOTED,
	    [KIND_TCHAR] = EXT_TOKEN },
	[EXT_TOKEN] = { [KIND_BWS] = EXT_END,
	    [KIND_SEMICOLON] = EXT_BEGIN,
	    [KIND_TCHAR] = EXT_TOKEN,
	    [KIND_CR] = SIZE_LF },
	[EXT_QUOTED] = { [KIND_BWS... KIND_OTHER] = EXT_QUOTED,
	    [KIND_QUOTE] = EXT_UNQUOTED,
	    [KIND_BACKSLASH] = EXT_PAIR },
	[EXT_PAIR] = { [KIND_BWS... KIND_BACKSLASH] = EXT_QUOTED },
	[EXT_UNQUOTED] = { [KIND_BWS] = EXT_END,
	    [KIND_SEMICOLON] = EXT_BEGIN,
	    [KIND_CR] = SIZE_LF },
};

void
h1_chunk_init(struct h1_chunk *c, const struct h1_limits *limits,
    uint64_t max_body)
{
	*c = (struct h1_chunk){
		.body_left = max_body,
		.max_head = limits->head,
		.max_trailers = limits->fields,
	};
}

/* Takes `want`, and nothing else. */
static enum h1_result
expect_byte(struct h1_chunk *c, char b, char want, unsigned next)
{
	if (b != want)
		return H1_BAD_CHUNK_END;
	c->state = (uint8_t)next;
	return H1_MORE;
}

static int
hex_value(char b)
{
	if (b >= '0' && b <= '9')
		return b - '0';
	b = (char)(b | 0x20);
	return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

/* RFC 9112 7.1.1.  Else a body of small chunks is mostly what nobody looks at,
 * and never ends. */
static bool
ext_in_share(const struct h1_chunk *c)
{
	return c->ext_total <= c->max_head + c->announced / H1_CHUNK_EXT_SHARE;
}

static int
ext_kind(char b)
{
	switch (b) {
	case ' ':
	case '\t': return KIND_BWS;
	case ';': return KIND_SEMICOLON;
	case '=': return KIND_EQUALS;
	case '"': return KIND_QUOTE;
	case '\\': return KIND_BACKSLASH;
	case '\r': return KIND_CR;
	default: break;
	}
	if (field_tchar[(unsigned char)b])
		return KIND_TCHAR;
	return field_vchar[(unsigned char)b] ? KIND_OTHER : -1;
}

static enum h1_result
ext_byte(struct h1_chunk *c, char b)
{
	int kind = ext_kind(b);

	if (kind < 0 || ext_next[c->state][kind] == 0)
		return H1_BAD_CHUNK_EXT;
	c->state = ext_next[c->state][kind];
	if (c->state == SIZE_LF)
		return H1_MORE;
	c->ext_total++;
	return ++c->ext_bytes <= H1_CHUNK_EXT_BYTES && ext_in_share(c) ?
	    H1_MORE :
	    H1_CHUNK_EXT_TOO_LONG;
}

static enum h1_result
size_byte(struct h1_chunk *c, char b)
{
	int v = hex_value(b);

	if (v >= 0) {
		/* 2^63 and more is refused: sizes are added up */
		if (c->digits == MAX_DIGITS || c->left >> 59 != 0)
			return H1_BAD_CHUNK_SIZE;
		c->left = c->left << 4 | (unsigned)v;
		c->digits++;
		return H1_MORE;
	}
	if (c->digits == 0)
		return H1_BAD_CHUNK_SIZE;
	c->ext_bytes = 0;
	if (b == '\r') {
		c->state = SIZE_LF;
		return H1_MORE;
	}
	if (b != ';' && b != ' ' && b != '\t')
		return H1_BAD_CHUNK_SIZE;
	c->state = EXT_END;
	return ext_byte(c, b);
}

static enum h1_result
size_lf_byte(struct h1_chunk *c, char b)
{
	if (b != '\n')
		return H1_BARE_CR;
	if (c->left > c->body_left)
		return H1_BODY_TOO_LONG;
	c->body_left -= c->left;
	c->announced += c->left;
	c->digits = 0;
	c->state = c->left > 0 ? DATA : TRAILER;
	return H1_MORE;
}

/* RFC 9110 6.5.1: fields that frame, route, authenticate or say how to read
 * the content.  All are dropped; these are attempts. */
static bool
trailer_forbidden(struct str name)
{
	static const uint16_t ids[] = { PF_H_HOST, PF_H_CONNECTION,
		PF_H_CONTENT_LENGTH, PF_H_TRANSFER_ENCODING, PF_H_EXPECT,
		PF_H_UPGRADE, PF_H_TRAILER, PF_H_TE, PF_H_KEEP_ALIVE,
		PF_H_PROXY_CONNECTION, PF_H_CONTENT_TYPE, PF_H_CONTENT_ENCODING,
		PF_H_COOKIE, PF_H_SET_COOKIE, PF_H_AUTHORIZATION,
		PF_H_CACHE_CONTROL, PF_H_RANGE, PF_H_FORWARDED,
		PF_H_X_FORWARDED_FOR, PF_H_X_FORWARDED_PROTO,
		PF_H_X_FORWARDED_HOST };
	uint16_t id = field_id(name);

	for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
		if (ids[i] == id)
			return true;
	return field_name_eq(name, STR("content-range")) ||
	    field_name_eq(name, STR("proxy-authorization"));
}

static enum h1_result
name_end(struct h1_chunk *c)
{
	if (c->name_n == 0)
		return H1_BAD_FIELD_NAME;
	if (c->name_n <= sizeof c->name &&
	    trailer_forbidden((struct str){ c->name, c->name_n }))
		return H1_FORBIDDEN_TRAILER;
	c->state = VALUE;
	return H1_MORE;
}

static enum h1_result
name_byte(struct h1_chunk *c, char b)
{
	if (b == ':')
		return name_end(c);
	if (b == '\r' || b == '\n')
		return H1_NO_COLON;
	if (!field_tchar[(unsigned char)b])
		return H1_BAD_FIELD_NAME;
	if (c->name_n < sizeof c->name)
		c->name[c->name_n] = b;
	if (c->name_n <= sizeof c->name)
		c->name_n++;
	return H1_MORE;
}

static enum h1_result
trailer_byte(struct h1_chunk *c, char b)
{
	if (b == '\r') {
		c->state = END_LF;
		return H1_MORE;
	}
	if (b == ' ' || b == '\t')
		return H1_FOLDED_FIELD;
	if (b == '\n')
		return H1_BARE_LF;
	if (c->n_trailers == c->max_trailers)
		return H1_TOO_MANY_TRAILERS;
	c->n_trailers++;
	c->name_n = 0;
	c->state = NAME;
	return name_byte(c, b);
}

static enum h1_result
value_byte(struct h1_chunk *c, char b)
{
	if (b == '\r')
		c->state = VALUE_LF;
	else if (b == '\n')
		return H1_BARE_LF;
	else if (!field_vchar[(unsigned char)b])
		return H1_BAD_FIELD_VALUE;
	return H1_MORE;
}

static enum h1_result
trailer_lf_byte(struct h1_chunk *c, char b)
{
	if (b != '\n')
		return H1_BARE_CR;
	if (c->state == END_LF) {
		c->state = DONE;
		return H1_OK;
	}
	c->state = TRAILER;
	return H1_MORE;
}

static enum h1_result
line_byte(struct h1_chunk *c, char b)
{
	if (c->state >= TRAILER && ++c->trailer_bytes > c->max_head)
		return H1_TRAILERS_TOO_LONG;
	switch (c->state) {
	case SIZE: return size_byte(c, b);
	case EXT_END ... EXT_UNQUOTED: return ext_byte(c, b);
	case SIZE_LF: return size_lf_byte(c, b);
	case DATA_CR: return expect_byte(c, b, '\r', DATA_LF);
	case DATA_LF: return expect_byte(c, b, '\n', SIZE);
	case TRAILER: return trailer_byte(c, b);
	case NAME: return name_byte(c, b);
	case VALUE: return value_byte(c, b);
	default: return trailer_lf_byte(c, b);
	}
}

/* Moves chunk data; the number of bytes, 0 if out is full. */
static size_t
data_move(struct h1_chunk *c, const char *in, size_t n, char *out, size_t room)
{
	if (n > room)
		n = room;
	if (n > c->left)
		n = (size_t)c->left;
	if (n > 0 && out != in)
		memmove(out, in, n);
	c->left -= n;
	if (c->left == 0)
		c->state = DATA_CR;
	return n;
}

enum h1_result
h1_chunk_decode(struct h1_chunk *c, const char *in, size_t *n_in, char *out,
    size_t *n_out)
{
	size_t taken = 0, made = 0, n;
	enum h1_result r = c->state == DONE ? H1_OK : H1_MORE;

	while (r == H1_MORE && taken < *n_in) {
		if (c->state != DATA) {
			r = line_byte(c, in[taken++]);
			continue;
		}
		n = data_move(c, in + taken, *n_in - taken, out + made,
		    *n_out - made);
		if (n == 0)
			break;
		taken += n;
		made += n;
	}
	*n_in = taken;
	*n_out = made;
	return r;
}
