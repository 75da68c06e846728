/*
 * Bytes as a server.ini: no crash, no leak, a refusal always says why, and what
 * was accepted prints to a file, and to options, that load to the same.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct settings *
load(struct settings_source src)
{
	static const char *const no_environment[] = { NULL };
	struct settings *st;
	char *errors = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&errors, &n);

	if (out == NULL)
		abort();
	src.environment = no_environment;
	st = settings_load(&src, out);
	fclose(out);
	if ((st == NULL) != (n > 0))
		abort();
	free(errors);
	return st;
}

static struct settings *
load_file(void *text, size_t size)
{
	FILE *stream = fmemopen(text, size, "r");
	struct settings *st;

	if (stream == NULL)
		abort();
	st = load(
	    (struct settings_source){ .file = "server.ini", .stream = stream });
	fclose(stream);
	return st;
}

/* Cuts the text into its lines. */
static struct settings *
load_options(char *text, size_t size)
{
	const char **opts = calloc(size + 1, sizeof *opts);
	struct settings_source src = { .opts = opts };
	struct settings *st;

	if (opts == NULL)
		abort();
	while (text != NULL && *text != '\0')
		opts[src.n_opts++] = strsep(&text, "\n");
	st = load(src);
	free(opts);
	return st;
}

static char *
print(void (*how)(const struct settings *, FILE *), const struct settings *st,
    size_t *n)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, n);

	if (out == NULL)
		abort();
	how(st, out);
	fclose(out);
	return text;
}

/* `again` came from a print of what prints as `options`. */
static void
check_same(struct settings *again, const char *options)
{
	size_t n;
	char *text;

	if (again == NULL)
		abort();
	text = print(settings_print_options, again, &n);
	if (strcmp(text, options) != 0)
		abort();
	free(text);
	settings_free(&again);
}

static void
check_print(const struct settings *st)
{
	size_t n, options_n;
	char *text = print(settings_print, st, &n);
	char *options = print(settings_print_options, st, &options_n);
	char *copy = strdup(options);

	if (copy == NULL)
		abort();
	check_same(load_file(text, n), options);
	check_same(load_options(copy, options_n), options);
	free(copy);
	free(options);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct settings *st;

	if (text == NULL)
		abort();
	for (size_t i = 0; i < size; i++)
		text[i] = (char)data[i];
	st = load_file(text, size);
	free(text);
	if (st != NULL)
		check_print(st);
	settings_free(&st);
	return 0;
}
