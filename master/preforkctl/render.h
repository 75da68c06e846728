/* PURE: the records of an answer as text for people. */
#ifndef MASTER_PREFORKCTL_RENDER_H
#define MASTER_PREFORKCTL_RENDER_H

#include <stddef.h>
#include <stdio.h>

#include "common/control_wire.h"

struct record;
struct render_row;

struct render {
	FILE *out;
	struct render_row *rows; /* of the table, printed at the end */
	size_t n_rows;
};

/* Records of a kind that is not known are left out, as are members.  0; -1:
 * out of memory. */
int render_record(struct render *, const struct record *);
/* Prints what was kept for it, and frees it. */
void render_finish(struct render *);

/* `digits` as people read it: "-" for NULL, "1.5 MiB", "2h05m". */
void render_value(enum control_unit, const char *digits, char *buf,
    size_t buf_bytes);

#endif
