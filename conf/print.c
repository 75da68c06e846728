/* Settings as text: -T, and what a reload cannot change. */
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conf/ini.h"
#include "conf/load.h"
#include "conf/table.h"
#include "conf/types.h"

#define NOTE_COLUMN 40

/* The text of a value; the caller frees it.  NULL: out of memory. */
static char *
value_text(const void *base, const struct setting *s)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	if (out == NULL)
		return NULL;
	s->type->print(setting_value(base, s), out);
	fclose(out);
	return text;
}

/* The file's name may be anything; a comment ends at a newline. */
static void
print_printable(const char *text, FILE *out)
{
	for (; *text != '\0'; text++)
		fputc(iscntrl((unsigned char)*text) ? '?' : *text, out);
}

static void
print_origin(const struct settings *st, const struct origin *o, FILE *out)
{
	switch (o->kind) {
	case ORIGIN_NONE:
	case ORIGIN_DEFAULT: fputs("default", out); break;
	case ORIGIN_FILE:
		print_printable(st->file, out);
		fprintf(out, ":%u", o->line);
		break;
	case ORIGIN_OPTION: fputs("-o", out); break;
	case ORIGIN_ENVIRONMENT:
		fprintf(out, "environment %s", o->variable);
		break;
	case ORIGIN_TARGET: fputs("target", out); break;
	case ORIGIN_SERVER: fputs("default, as the server's", out); break;
	}
}

char *
setting_text(const struct settings *st, const struct app_settings *app,
    const char *name)
{
	const char *dot = strchr(name, '.');
	const struct setting *s = NULL;
	char section[32];

	if (dot == NULL || (size_t)(dot - name) >= sizeof section)
		return NULL;
	memcpy(section, name, (size_t)(dot - name));
	section[dot - name] = '\0';
	s = setting_find(section, dot + 1);
	if (s == NULL)
		return NULL;
	return setting_is_app(s) ? value_text(app, s) : value_text(st, s);
}

/* ---- all of them --------------------------------------------------------- */

struct printing {
	const struct settings *st;
	FILE *out;
	bool as_options;
	char section[SECTION_BYTES];
};

static void
begin_section(struct printing *p, const char *prefix, const char *name)
{
	bool first = p->section[0] == '\0';

	snprintf(p->section, sizeof p->section, "%s%s", prefix, name);
	if (!p->as_options)
		fprintf(p->out, "%s[%s]\n", first ? "" : "\n", p->section);
}

/*
 * KEY = VALUE  ; NOTE.  The note has a line of its own when both might not fit
 * into one that loads again.
 */
static void
print_file_line(const struct printing *p, const char *key, const char *value,
    const struct origin *o)
{
	const char *file = o->kind == ORIGIN_FILE ? p->st->file : "";
	size_t n = strlen(key) + strlen(" = ") + strlen(value);
	int pad = n < NOTE_COLUMN ? (int)(NOTE_COLUMN - n) : 0;

	if (n + NOTE_COLUMN + strlen(file) <= INI_LINE_BYTES) {
		fprintf(p->out, "%s = %s%*s ; ", key, value, pad, "");
		print_origin(p->st, o, p->out);
		fputc('\n', p->out);
		return;
	}
	fputs("; ", p->out);
	print_origin(p->st, o, p->out);
	if (ini_fits(key, value)) {
		fputc('\n', p->out);
		ini_write(key, value, p->out);
	} else {
		fprintf(p->out, ", too long for a file\n;%s = %s\n", key,
		    value);
	}
}

static void
print_line(const struct printing *p, const char *key, const char *value,
    const struct origin *o)
{
	if (p->as_options)
		fprintf(p->out, "%s.%s=%s\n", p->section, key, value);
	else
		print_file_line(p, key, value, o);
}

static void
print_row(const struct printing *p, const void *base, const struct setting *s,
    const struct origin *origins)
{
	bool is_auto = s->row == ROW_server_workers && p->st->workers_auto;
	char *text = is_auto ? strdup("auto") : value_text(base, s);

	if (is_auto && !p->as_options)
		fprintf(p->out, "; auto is %u here\n", p->st->workers);
	if (text != NULL)
		print_line(p, s->key, text, &origins[s->row]);
	free(text);
}

static void
print_pairs(const struct printing *p, const char *prefix,
    const struct pair *pairs, size_t n)
{
	char key[128];

	for (size_t i = 0; i < n; i++) {
		snprintf(key, sizeof key, "%s%s", prefix, pairs[i].key);
		print_line(p, key, pairs[i].value, &pairs[i].origin);
	}
}

static void
print_server(struct printing *p)
{
	for (int i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);

		if (setting_is_app(s))
			continue;
		if (strcmp(p->section, s->section) != 0) {
			begin_section(p, "", s->section);
			if (strcmp(s->section, "server") == 0)
				print_pairs(p, "env.", p->st->env,
				    p->st->n_env);
		}
		print_row(p, p->st, s, p->st->origins);
	}
}

static void
print_app(struct printing *p, const struct app_settings *app)
{
	begin_section(p, APP_PREFIX, app->name);
	for (int i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);

		if (setting_is_app(s))
			print_row(p, app, s, app->origins);
	}
	print_pairs(p, "option.", app->options, app->n_options);
}

static void
print_all(struct printing p)
{
	print_server(&p);
	for (size_t i = 0; i < p.st->n_apps; i++)
		print_app(&p, &p.st->apps[i]);
}

void
settings_print(const struct settings *st, FILE *out)
{
	print_all((struct printing){ .st = st, .out = out });
}

void
settings_print_options(const struct settings *st, FILE *out)
{
	print_all(
	    (struct printing){ .st = st, .out = out, .as_options = true });
}

/* ---- reload -------------------------------------------------------------- */

static size_t
print_change(const struct settings *was, const struct settings *now,
    const struct setting *s, FILE *out)
{
	char *a = value_text(was, s), *b = value_text(now, s);
	size_t n = 0;

	if (a != NULL && b != NULL && strcmp(a, b) != 0) {
		fprintf(out, "[%s] %s = %s: takes effect at the next start\n",
		    s->section, s->key, b);
		n = 1;
	}
	free(a);
	free(b);
	return n;
}

size_t
settings_print_restart(const struct settings *was, const struct settings *now,
    FILE *out)
{
	size_t n = 0;

	for (int i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);

		if (s->on_reload == RESTART)
			n += print_change(was, now, s, out);
	}
	return n;
}
