/* Documents that the table writes: server.ini, prefork.ini(5), -h. */
#include <stdlib.h>
#include <string.h>

#include "conf/load.h"
#include "conf/table.h"
#include "conf/types.h"

#define COLUMNS 78

static const char *
shown_section(const struct setting *s)
{
	return setting_is_app(s) ? "app:NAME" : s->section;
}

/* Does a new section begin with this row? */
static bool
begins_section(const struct setting *s)
{
	return s->row == 0 ||
	    strcmp(setting_at(s->row - 1)->section, s->section) != 0;
}

/* ---- server.ini ---------------------------------------------------------- */

static const char ini_head[] =
    "# server.ini: the settings of prefork, each with its default.\n"
    "#\n"
    "# Check a change with prefork -c server.ini -t; see all values and where\n"
    "# they come from with -T. prefork.ini(5) says more. A line is at most "
    "198\n"
    "# bytes and begins at the margin; a list may go on in indented lines "
    "below\n"
    "# a comma at the end of one. A ; after a space begins a comment.\n"
    "# Times are 500ms, 10s, 5m, 2h, 1d; sizes 512, 64k, 16M, 1G.\n";

static const char ini_env[] =
    "# Environment of the workers; any number of them.\n"
    ";env.NAME = VALUE\n";

static const char ini_option[] =
    "# Reaches the module as it stands; any number of them.\n"
    ";option.NAME = VALUE\n";

static const char ini_apps[] = "\n"
			       "[app:site]\n"
			       "type = static\n"
			       "target = conf/site\n"
			       "mount = /\n"
			       "\n"
			       "[app:hello]\n"
			       "type = module\n"
			       "target = hello.so\n"
			       "mount = /hello\n"
			       "\n"
			       "[app:echo]\n"
			       "type = module\n"
			       "target = echo.so\n"
			       "mount = /echo\n"
			       "stream = yes\n";

/* Words of `text` in lines that begin with `lead`. */
static void
print_wrapped(const char *text, const char *lead, FILE *out)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t word = strcspn(text, " ");

		if (column > 0 && column + 1 + word > COLUMNS) {
			fputc('\n', out);
			column = 0;
		}
		if (column == 0)
			fputs(lead, out);
		else
			fputc(' ', out);
		column += (column == 0 ? strlen(lead) : 1) + word;
		fwrite(text, 1, word, out);
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void
print_ini_row(const struct setting *s, FILE *out)
{
	fputc('\n', out);
	if (begins_section(s) && setting_is_app(s))
		fputs("# Each application has a section [app:NAME] with "
		      "these.\n\n",
		    out);
	else if (begins_section(s))
		fprintf(out, "[%s]\n\n", s->section);
	print_wrapped(s->help, "# ", out);
	fprintf(out, ";%s =%s%s\n", s->key, *s->def != '\0' ? " " : "", s->def);
	if (s->row == ROW_server_umask)
		fprintf(out, "\n%s", ini_env);
}

void
settings_print_ini(FILE *out)
{
	fputs(ini_head, out);
	for (int i = 0; i < N_SETTINGS; i++)
		print_ini_row(setting_at((enum setting_row)i), out);
	fprintf(out, "\n%s%s", ini_option, ini_apps);
}

/* ---- prefork.ini(5) ------------------------------------------------------ */

/* mdoc wants each sentence to begin a line. */
static void
print_sentences(const char *text, FILE *out)
{
	char sentence[512];

	while (*text != '\0') {
		const char *end = strstr(text, ". ");
		size_t n =
		    end != NULL ? (size_t)(end - text) + 1 : strlen(text);

		snprintf(sentence, sizeof sentence, "%.*s", (int)n, text);
		print_wrapped(sentence, "", out);
		text += n;
		text += strspn(text, " ");
	}
}

static void
print_must(const struct setting *s, FILE *out)
{
	char *text = NULL;
	size_t n;
	FILE *must = open_memstream(&text, &n);

	if (must == NULL)
		return;
	fputs("Must be ", must);
	s->type->describe(s, must);
	fputc('.', must);
	if (fclose(must) == 0)
		print_wrapped(text, "", out);
	free(text);
}

static void
print_man_row(const struct setting *s, FILE *out)
{
	if (begins_section(s))
		fprintf(out, "%s.Ss Section %s\n.Bl -tag -width Ds\n",
		    s->row > 0 ? ".El\n" : "", shown_section(s));
	fprintf(out, ".It Ic %s\n", s->key);
	print_sentences(s->help, out);
	print_must(s, out);
	if (*s->def != '\0')
		fprintf(out, "Default:\n.Ql %s .\n", s->def);
	if (s->on_reload == RESTART)
		fputs("A change takes effect at the next start.\n", out);
}

void
settings_print_man(FILE *out)
{
	for (int i = 0; i < N_SETTINGS; i++)
		print_man_row(setting_at((enum setting_row)i), out);
	fputs(".El\n", out);
}

/* ---- -h ------------------------------------------------------------------ */

/* Bytes of the first clause: it ends at . : or ; before a space or the end. */
static size_t
clause_length(const char *text)
{
	size_t n = 0;

	do
		n += strcspn(text + n + 1, ".:;") + 1;
	while (text[n] != '\0' && text[n + 1] != ' ' && text[n + 1] != '\0');
	return n;
}

void
settings_print_help(FILE *out)
{
	for (int i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);
		char name[64];

		snprintf(name, sizeof name, "%s.%s", shown_section(s), s->key);
		fprintf(out, "  %-28s %.*s\n", name,
		    (int)clause_length(s->help), s->help);
	}
}
