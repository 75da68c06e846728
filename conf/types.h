/*
 * The types of settings.  A type is how to read a value, write it back, say
 * what it may be, and release it.
 */
#ifndef CONF_TYPES_H
#define CONF_TYPES_H

#include <stdint.h>
#include <stdio.h>

struct setting;

struct setting_type {
	/* NULL, or why not ("": describe() says it all); then *dst is as it
	 * was.  Replaces what *dst owned. */
	const char *(*parse)(void *dst, const struct setting *, const char *);
	/* Text that parse() reads back to the same value. */
	void (*print)(const void *src, FILE *);
	/* A noun phrase with the bounds: "a number from 1 to 1024". */
	void (*describe)(const struct setting *, FILE *);
	void (*fini)(void *); /* NULL: it owns nothing */
};

/* types_number.c */
extern const struct setting_type type_bool, type_uint, type_workers, type_range,
    type_mode, type_percent, type_msec, type_size;
/* types_text.c */
extern const struct setting_type type_string, type_host, type_mount, type_path,
    type_binds, type_apptype, type_level;
/* types_proxy.c */
extern const struct setting_type type_trust, type_proxied, type_forwarding;

/* One or more digits at *text, which moves past them; NULL or why not. */
const char *number_parse(const char **text, uint64_t *out);

#endif
