/*
 * Values with names as text, written and read by the same calls, so that the
 * two cannot differ.  The first mistake stays; what is read after it is zero.
 */
#ifndef MASTER_STATE_H
#define MASTER_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct state {
	FILE *file;
	bool saving;
	char why[128]; /* the first mistake; empty: none */
};

/* Borrows the file. */
#define STATE_SAVE(f) ((struct state){ .file = (f), .saving = true })
#define STATE_LOAD(f) ((struct state){ .file = (f) })

void state_number(struct state *, const char *name, uint64_t *);
/* A number not above max. */
void state_bounded(struct state *, const char *name, uint64_t *, uint64_t max);
/* Any bytes but NUL; NULL is saved as an empty one.  A loaded one is never
 * NULL and the caller's to free. */
void state_text(struct state *, const char *name, char **);

void state_unsigned(struct state *, const char *name, unsigned *, unsigned max);
void state_bool(struct state *, const char *name, bool *);
/* A descriptor; -1 too. */
void state_fd(struct state *, const char *name, int *);

void state_wrong(struct state *, const char *name, const char *why);
/* Everything was written, or all that was read made sense. */
bool state_ok(struct state *);

#endif
