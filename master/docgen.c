/*
 * Writes the parts of prefork(8) that are made from tables: `docgen options`,
 * `docgen signals`.
 */
#include <stdio.h>
#include <string.h>

struct row {
	char letter;
	const char *name, *text;
};

static const struct row options[] = {
#define OPTION(opt, arg, help)                                                 \
	{ .letter = (opt), .name = (arg), .text = (help) },
#include "master/options.def"
#undef OPTION
};

static const struct row signals[] = {
#define SIGNAL(no, label, ev, help) { .name = (label), .text = (help) },
#include "master/signals.def"
#undef SIGNAL
};

#define COLUMNS 79

static void
print_word(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '-')
			putchar('\\');
		putchar(p[i]);
	}
}

/* mdoc wants a new line for each sentence, and lines that are not long. */
static void
print_text(const char *text)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t n = strcspn(text, " ");

		if (column > 0 && column + 1 + n > COLUMNS) {
			putchar('\n');
			column = 0;
		} else if (column > 0) {
			putchar(' ');
		}
		print_word(text, n);
		column += n + 1;
		if (text[n - 1] == '.' && text[n] == ' ') {
			putchar('\n');
			column = 0;
		}
		text += n + (text[n] == ' ');
	}
	putchar('\n');
}

static void
print_options(void)
{
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
		printf(".It Fl %c%s%s\n", options[i].letter,
		    options[i].name[0] != '\0' ? " Ar " : "", options[i].name);
		print_text(options[i].text);
	}
	puts(".El");
}

static void
print_signals(void)
{
	puts(".Bl -tag -width WINCHXX");
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
		printf(".It Dv %s\n", signals[i].name);
		print_text(signals[i].text);
	}
	puts(".El");
}

int
main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";

	if (strcmp(what, "options") == 0)
		print_options();
	else if (strcmp(what, "signals") == 0)
		print_signals();
	else {
		fputs("usage: docgen options | signals\n", stderr);
		return 2;
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
