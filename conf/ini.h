/*
 * The lines of an ini file.  inih splits them into keys and values; it is fed
 * by a reader that counts lines and holds back what inih would misread:
 * lines beyond its buffer, indented lines (a second value of the key above),
 * [unterminated (the section before would go on), NUL bytes (the rest of the
 * line is lost), `key: value`.  A value that ends in a comma goes on in the
 * indented lines below it: only lists outgrow a line, and a mere indentation
 * may be a mistake.
 */
#ifndef CONF_INI_H
#define CONF_INI_H

#include <ini.h>
#include <stdbool.h>
#include <stdio.h>

/* inih's buffer less newline and NUL; a CR is taken away before. */
#define INI_LINE_BYTES  (INI_MAX_LINE - 2)
#define INI_VALUE_BYTES (16 << 10)
#define INI_FILE_BYTES  (1 << 20)

/* What the file says, in its order; strings live until the call returns. */
struct ini_sink {
	/* NULL: a header that cannot be read; a mistake came before it. */
	void (*on_section)(void *arg, unsigned line, const char *name);
	void (*on_pair)(void *arg, unsigned line, const char *key,
	    const char *value);
	/* line 0: the file as a whole. */
	void (*on_mistake)(void *arg, unsigned line, const char *what);
};

/* 0, or -1 and errno when reading failed; on_mistake is no failure. */
int ini_read(FILE *, const struct ini_sink *, void *arg);

/* ini_write.c: the lines that are read as this pair.  false: it has a part that
 * is too long for a line, and cannot be written. */
bool ini_fits(const char *key, const char *value);
void ini_write(const char *key, const char *value, FILE *);

#endif
