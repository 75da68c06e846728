/* What the tests of conf/ share: a load of a text, and its mistakes. */
#ifndef TESTS_UNIT_T_CONF_H
#define TESTS_UNIT_T_CONF_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/load.h"
#include "conf/settings.h"

/* Ends a file whose start is what a test is about. */
#define AN_APP "\n[app:a]\ntype = static\ntarget = .\n"

struct loaded {
	struct settings *st; /* NULL: refused */
	char *errors;
};

/* Nothing of the test's own environment may count. */
static const char *const no_environment[] = { NULL };

static inline struct loaded
load_from(struct settings_source src, const char *text, size_t n)
{
	struct loaded l = { .st = NULL };
	size_t errors_n;
	FILE *errors = open_memstream(&l.errors, &errors_n);
	char *copy = malloc(n + 1);

	assert_non_null(errors);
	assert_non_null(copy);
	memcpy(copy, text, n);
	src.stream = fmemopen(copy, n, "r");
	assert_non_null(src.stream);
	src.file = "server.ini";
	if (src.environment == NULL)
		src.environment = no_environment;
	l.st = settings_load(&src, errors);
	fclose(src.stream);
	fclose(errors);
	free(copy);
	return l;
}

static inline struct loaded
load_text(const char *text)
{
	return load_from((struct settings_source){ .file = NULL }, text,
	    strlen(text));
}

/* Without a file. */
static inline struct loaded
load_source(struct settings_source src)
{
	struct loaded l = { .st = NULL };
	size_t n;
	FILE *errors = open_memstream(&l.errors, &n);

	assert_non_null(errors);
	if (src.environment == NULL)
		src.environment = no_environment;
	l.st = settings_load(&src, errors);
	fclose(errors);
	return l;
}

static inline void
loaded_free(struct loaded *l)
{
	settings_free(&l->st);
	assert_null(l->st);
	free(l->errors);
}

static inline void
assert_refused(const char *text, const char *errors)
{
	struct loaded l = load_text(text);

	assert_string_equal(l.errors, errors);
	assert_null(l.st);
	loaded_free(&l);
}

/* The caller frees it. */
static inline struct loaded
assert_loads(const char *text)
{
	struct loaded l = load_text(text);

	assert_string_equal(l.errors, "");
	assert_non_null(l.st);
	return l;
}

#endif
