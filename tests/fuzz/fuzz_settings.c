/*
 * Bytes as a server.ini: no crash, no leak, a refusal always says why, and what
 * was accepted prints to a file that is accepted too.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct settings *
load(void *text, size_t size)
{
	struct settings_source src = { .file = "server.ini",
		.stream = fmemopen(text, size, "r") };
	struct settings *st;
	char *errors = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&errors, &n);

	if (src.stream == NULL || out == NULL)
		abort();
	st = settings_load(&src, out);
	fclose(out);
	fclose(src.stream);
	if ((st == NULL) != (n > 0))
		abort();
	free(errors);
	return st;
}

static void
load_printed(const struct settings *st)
{
	struct settings *again;
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	if (out == NULL)
		abort();
	settings_print(st, out);
	fclose(out);
	again = load(text, n);
	if (again == NULL)
		abort();
	settings_free(&again);
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
	st = load(text, size);
	free(text);
	if (st != NULL)
		load_printed(st);
	settings_free(&st);
	return 0;
}
