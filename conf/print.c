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

/* ---- -T ------------------------------------------------------------------ */

struct printing {
	const struct settings *st;
	FILE *out;
};

/* Does a line with this key and value fit into a file, once it is printed? */
static bool
fits(const char *key, const char *value)
{
	return strlen(key) + strlen("=") + strlen(value) <= INI_LINE_BYTES;
}

/*
 * KEY = VALUE  ; NOTE.  The note has a line of its own when both might not fit
 * into one that loads again, and the blanks around = go when they do not.
 */
static void
print_line(const struct printing *p, const char *key, const char *value,
    const struct origin *o)
{
	const char *file = o->kind == ORIGIN_FILE ? p->st->file : "";
	size_t n = strlen(key) + strlen(" = ") + strlen(value);
	bool beside = n + NOTE_COLUMN + strlen(file) <= INI_LINE_BYTES;
	int pad = n < NOTE_COLUMN ? (int)(NOTE_COLUMN - n) : 0;

	if (beside)
		fprintf(p->out, "%s = %s%*s ; ", key, value, pad, "");
	else
		fputs("; ", p->out);
	print_origin(p->st, o, p->out);
	fputc('\n', p->out);
	if (!beside)
		fprintf(p->out, "%s%s%s\n", key,
		    n <= INI_LINE_BYTES ? " = " : "=", value);
}

/* As print_line(), of what no file can have. */
static void
print_comment(const struct printing *p, const char *key, const char *value,
    const struct origin *o, const char *why)
{
	fputs("; ", p->out);
	print_origin(p->st, o, p->out);
	fprintf(p->out, ", %s\n;%s = %s\n", why, key, value);
}

static void
print_pair(const struct printing *p, const char *key, const char *value,
    const struct origin *o)
{
	if (fits(key, value))
		print_line(p, key, value, o);
	else
		print_comment(p, key, value, o,
		    "too long for a line of a file");
}

/* Which addresses speak the PROXY protocol: of a bind that can be loaded. */
static void
print_proxied(const struct printing *p, const char *key, const char *value,
    const struct origin *o)
{
	const struct setting *s = setting_at(ROW_server_bind);
	char *bind = value_text(p->st, s);

	if (p->st->proxy_protocol.some.n > 0 && bind != NULL &&
	    !fits(s->key, bind))
		print_comment(p, key, value, o, "bind is too long for a file");
	else
		print_pair(p, key, value, o);
	free(bind);
}

static void
print_row(const struct printing *p, const void *base, const struct setting *s,
    const struct origin *origins)
{
	bool is_auto = s->row == ROW_server_workers && p->st->workers_auto;
	char *text = is_auto ? strdup("auto") : value_text(base, s);

	if (is_auto)
		fprintf(p->out, "; auto is %u here\n", p->st->workers);
	if (text != NULL)
		(s->row == ROW_proxy_protocol ? print_proxied : print_pair)(p,
		    s->key, text, &origins[s->row]);
	free(text);
}

static void
print_pairs(const struct printing *p, const char *prefix,
    const struct pair *pairs, size_t n)
{
	char key[128];

	for (size_t i = 0; i < n; i++) {
		snprintf(key, sizeof key, "%s%s", prefix, pairs[i].key);
		print_pair(p, key, pairs[i].value, &pairs[i].origin);
	}
}

static void
print_server(const struct printing *p)
{
	const char *section = "";

	for (int i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);

		if (setting_is_app(s))
			continue;
		if (strcmp(section, s->section) != 0) {
			fprintf(p->out, "%s[%s]\n", *section ? "\n" : "",
			    s->section);
			if (strcmp(s->section, "server") == 0)
				print_pairs(p, "env.", p->st->env,
				    p->st->n_env);
		}
		section = s->section;
		print_row(p, p->st, s, p->st->origins);
	}
}

static void
print_app(const struct printing *p, const struct app_settings *app)
{
	fprintf(p->out, "\n[app:%s]\n", app->name);
	for (int i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);

		if (setting_is_app(s))
			print_row(p, app, s, app->origins);
	}
	print_pairs(p, "option.", app->options, app->n_options);
}

void
settings_print(const struct settings *st, FILE *out)
{
	const struct printing p = { .st = st, .out = out };

	print_server(&p);
	for (size_t i = 0; i < st->n_apps; i++)
		print_app(&p, &st->apps[i]);
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
