/*
 * PURE: writes flat JSON objects, one a line.  Text may be anything: what is
 * not UTF-8 becomes U+FFFD.
 */
#ifndef MASTER_JSON_H
#define MASTER_JSON_H

#include <stdint.h>
#include <stdio.h>

/* A number that is not there. */
#define JSON_NONE UINT64_MAX

/* Begins an object whose first member is "record". */
void json_begin(FILE *, const char *record);
void json_text(FILE *, const char *name, const char *); /* NULL: null */
void json_number(FILE *, const char *name, uint64_t);   /* JSON_NONE: null */
void json_end(FILE *);

#endif
