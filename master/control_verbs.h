/* What the verbs of the control socket do. */
#ifndef MASTER_CONTROL_VERBS_H
#define MASTER_CONTROL_VERBS_H

#include <stdio.h>

#include "common/control_wire.h"
#include "master/child.h"
#include "master/control.h"

struct master;

struct control_request {
	char *line; /* without its newline; cut to pieces */
	long uid, pid;
	FILE *out;                      /* for the records but the last */
	char reason[TROUBLE_MAX + 256]; /* of the last one */
	enum control_wait wait;
	unsigned generation; /* WAIT_RELOAD: which one */
};

enum control_exit control_run(struct master *, struct control_request *);
/* The answer to who waited for that. */
enum control_exit control_result(const struct master *, enum control_wait,
    struct control_request *);
void control_write_end(FILE *, enum control_exit, const char *reason);

#endif
