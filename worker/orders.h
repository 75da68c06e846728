/* What the master says through the channel, and what it is told: see
 * common/channel.h.  On the loop's thread. */
#ifndef WORKER_ORDERS_H
#define WORKER_ORDERS_H

#include "common/scoreboard.h"

struct channel_message;
struct worker;

/* From now on the master is heard. */
void orders_start(struct worker *);

/* What CHANNEL_REOPEN says, done. */
void orders_reopen_logs(struct channel_message *, int access_log_fd);

/* The state that the scoreboard and the title of the process show. */
void worker_show(struct worker *, enum score_state, const char *name);

#endif
