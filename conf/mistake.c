#include <stdarg.h>
#include <stdlib.h>

#include "conf/loading.h"

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
		fprintf(out, "%s%s%s: ", l->opts_name,
		    p->text != NULL ? " " : "", p->text != NULL ? p->text : "");
		break;
	case ORIGIN_ENVIRONMENT:
		fprintf(out, "environment %s: ", p->origin.variable);
		break;
	case ORIGIN_TARGET:
		fprintf(out, "target %s: ", p->text != NULL ? p->text : "");
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
		fprintf(out, "%s =%s%s: ", a->key, *a->value ? " " : "",
		    a->value);
	} else if (p->origin.kind == ORIGIN_ENVIRONMENT) {
		fprintf(out, "%s: ", p->text);
	}
	return out;
}
