#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conf/loading.h"

#define SHOWN_BYTES 200 /* of a text that may be longer than a log's line */

/* Nothing for "". */
static void
write_cut(const char *before, const char *text, FILE *out)
{
	bool cut = strlen(text) > SHOWN_BYTES;

	if (*text != '\0')
		fprintf(out, "%s%.*s%s", before, SHOWN_BYTES, text,
		    cut ? "..." : "");
}

static void
write_place(const struct loading *l, const struct place *p, FILE *out)
{
	switch (p->origin.kind) {
	case ORIGIN_FILE:
		fputs(l->file, out);
		if (p->origin.line > 0)
			fprintf(out, ":%u", p->origin.line);
		fputs(": ", out);
		break;
	case ORIGIN_OPTION:
		fputs(l->opts_name, out);
		write_cut(" ", p->text != NULL ? p->text : "", out);
		fputs(": ", out);
		break;
	case ORIGIN_ENVIRONMENT:
		fprintf(out, "environment %s: ", p->origin.variable);
		break;
	case ORIGIN_TARGET:
		fputs("target ", out);
		write_cut("", p->text != NULL ? p->text : "", out);
		fputs(": ", out);
		break;
	case ORIGIN_NONE:
	case ORIGIN_DEFAULT:
	case ORIGIN_SERVER: break;
	}
}

FILE *
mistake_begin(struct loading *l, const struct place *p)
{
	FILE *out = open_memstream(&l->text, &l->text_n);

	if (out == NULL)
		out = l->errors;
	l->mistakes++;
	write_place(l, p, out);
	return out;
}

/* Control characters from the file must not reach the terminal or log. */
void
mistake_end(struct loading *l, FILE *out)
{
	fputc('\n', out);
	if (out == l->errors)
		return;
	if (fclose(out) == 0) {
		for (size_t i = 0; i + 1 < l->text_n; i++)
			if ((unsigned char)l->text[i] < ' ' ||
			    l->text[i] == 0x7f)
				l->text[i] = '?';
		fputs(l->text, l->errors);
	}
	free(l->text);
	l->text = NULL;
}

void
mistake(struct loading *l, const struct place *p, const char *fmt, ...)
{
	FILE *out = mistake_begin(l, p);
	va_list ap;

	va_start(ap, fmt);
	vfprintf(out, fmt, ap);
	va_end(ap);
	mistake_end(l, out);
}

FILE *
mistake_begin_value(struct loading *l, const struct place *p,
    const struct assignment *a)
{
	FILE *out = mistake_begin(l, p);

	if (p->origin.kind == ORIGIN_FILE) {
		if (*a->section != '\0')
			fprintf(out, "[%s] ", a->section);
		fprintf(out, "%s =", a->key);
		write_cut(" ", a->value, out);
		fputs(": ", out);
	} else if (p->origin.kind == ORIGIN_ENVIRONMENT) {
		write_cut("", p->text, out);
		fputs(": ", out);
	}
	return out;
}
