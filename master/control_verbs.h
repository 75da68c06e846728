/* What the verbs of the control socket do. */
#ifndef MASTER_CONTROL_VERBS_H
#define MASTER_CONTROL_VERBS_H

#include <stdio.h>

#include "common/control_wire.h"
#include "master/child.h"

struct master;

struct control_request {
	char *line; /* without its newline; cut to pieces */
	long uid, pid;
	FILE *out;                     /* for the records but the last */
	char reason[TROUBLE_MAX + 64]; /* of the last one */
	unsigned reload; /* the answer comes when this generation is
			    committed or rolled back; 0: it is complete */
};

enum control_exit control_run(struct master *, struct control_request *);
/* The answer to who waited for master.last_reload. */
enum control_exit control_reload_result(const struct master *,
    struct control_request *);
void control_write_end(FILE *, enum control_exit, const char *reason);

#endif
