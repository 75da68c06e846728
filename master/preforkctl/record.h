/*
 * PURE: reads a line of an answer, a JSON object (RFC 8259) without objects or
 * arrays in it.
 */
#ifndef MASTER_PREFORKCTL_RECORD_H
#define MASTER_PREFORKCTL_RECORD_H

#include <stddef.h>

#define RECORD_MEMBERS_MAX 64

struct record {
	size_t n;
	struct {
		const char *name;
		const char *value; /* a number as it stands; NULL: null */
	} member[RECORD_MEMBERS_MAX];
};

/* Cuts the line to pieces, which the record points to.  0; -1: it is something
 * else, or has a NUL in it. */
int record_parse(char *line, struct record *);
/* NULL: it is null or not there. */
const char *record_get(const struct record *, const char *name);

#endif
