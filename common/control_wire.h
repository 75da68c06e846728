/*
 * The control socket as both of its sides see it.  One request a connection:
 * a line, VERB and arguments with a space between.  The answer is lines of
 * JSON, each a flat object whose member "record" names its kind: "status",
 * "listener", "worker" with the members of control_fields.def, "note" with
 * "text"; the last one is "end" with "exit" and "reason".
 */
#ifndef COMMON_CONTROL_WIRE_H
#define COMMON_CONTROL_WIRE_H

#include <stdint.h>

/* Of a request, its newline included. */
#define CONTROL_REQUEST_BYTES 4096

/* The member "exit", which preforkctl exits with. */
enum control_exit {
	CONTROL_DONE = 0,
	CONTROL_FAILED = 1, /* or refused */
	CONTROL_USAGE = 2,
};

/* What a member counts; it is null when there is nothing to say. */
enum control_unit {
	UNIT_TEXT,
	UNIT_COUNT,
	UNIT_BYTES,
	UNIT_SECONDS,
	UNIT_TIME, /* seconds since 1970 */
};

#endif
