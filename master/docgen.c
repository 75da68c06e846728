/*
 * Writes the parts of prefork(8) and preforkctl(1) that are made from tables:
 * `docgen LIST`, where LIST is one of those at the end of this file.
 */
#include <stdio.h>
#include <string.h>

struct row {
	char letter;
	const char *name, *argument, *text;
};

static const struct row options[] = {
#define OPTION(opt, arg, help)                                                 \
	{ .letter = (opt), .argument = (arg), .text = (help) },
#include "master/options.def"
#undef OPTION
};

static const struct row ctl_options[] = {
#define CTL_OPTION(opt, long_name, arg, help)                                  \
	{ .letter = (opt),                                                     \
		.name = (long_name),                                           \
		.argument = (arg),                                             \
		.text = (help) },
#include "master/preforkctl/options.def"
#undef CTL_OPTION
};

static const struct row verbs[] = {
#define CONTROL_VERB(verb, arg, help)                                          \
	{ .name = #verb, .argument = (arg), .text = (help) },
#include "common/control_verbs.def"
#undef CONTROL_VERB
};

#define FIELD(member, label, unit, help) { .name = #member, .text = (help) },
#define NO_FIELD(member, label, unit, help)
#define STATUS_FIELD   FIELD
#define LISTENER_FIELD NO_FIELD
#define WORKER_FIELD   NO_FIELD
static const struct row status_fields[] = {
#include "common/control_fields.def"
};
#undef STATUS_FIELD
#undef LISTENER_FIELD
#define STATUS_FIELD   NO_FIELD
#define LISTENER_FIELD FIELD
static const struct row listener_fields[] = {
#include "common/control_fields.def"
};
#undef LISTENER_FIELD
#undef WORKER_FIELD
#define LISTENER_FIELD NO_FIELD
#define WORKER_FIELD   FIELD
static const struct row worker_fields[] = {
#include "common/control_fields.def"
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
print_argument(const char *argument)
{
	if (argument[0] == '[')
		printf(" Op Fl %.*s", (int)strcspn(argument + 2, "]"),
		    argument + 2);
	else if (argument[0] != '\0')
		printf(" Ar %s", argument);
}

static void
print_option(const struct row *r)
{
	printf(".It Fl %c", r->letter);
	print_argument(r->argument);
	if (r->name != NULL) {
		printf(" , Fl \\-%s", r->name);
		print_argument(r->argument);
	}
	putchar('\n');
}

static void
print_verb(const struct row *r)
{
	printf(".It Cm %s", r->name);
	print_argument(r->argument);
	putchar('\n');
}

static void
print_signal(const struct row *r)
{
	printf(".It Dv %s\n", r->name);
}

static void
print_field(const struct row *r)
{
	printf(".It Va %s\n", r->name);
}

#define ROWS(table) .rows = (table), .n = sizeof(table) / sizeof *(table)

static const struct list {
	const char *name, *width;
	void (*print)(const struct row *);
	const struct row *rows;
	size_t n;
} lists[] = {
	{ .name = "options",
	    .width = "Ds",
	    .print = print_option,
	    ROWS(options) },
	{ .name = "signals",
	    .width = "WINCHXX",
	    .print = print_signal,
	    ROWS(signals) },
	{ .name = "ctl-options",
	    .width = "Ds",
	    .print = print_option,
	    ROWS(ctl_options) },
	{ .name = "verbs", .width = "Ds", .print = print_verb, ROWS(verbs) },
	{ .name = "status-fields",
	    .width = "reload_reasonX",
	    .print = print_field,
	    ROWS(status_fields) },
	{ .name = "listener-fields",
	    .width = "reload_reasonX",
	    .print = print_field,
	    ROWS(listener_fields) },
	{ .name = "worker-fields",
	    .width = "reload_reasonX",
	    .print = print_field,
	    ROWS(worker_fields) },
};

int
main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";

	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		const struct list *l = &lists[i];

		if (strcmp(l->name, what) != 0)
			continue;
		printf(".Bl -tag -width %s\n", l->width);
		for (size_t j = 0; j < l->n; j++) {
			l->print(&l->rows[j]);
			print_text(l->rows[j].text);
		}
		puts(".El");
		return 0;
	}
	fputs("usage: docgen LIST\n", stderr);
	return 2;
}
