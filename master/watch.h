/* Watches whether the loops of ready workers turn. */
#ifndef MASTER_WATCH_H
#define MASTER_WATCH_H

#include <stdbool.h>

struct master;

void watch_init(struct master *);
/* Looks at every worker, and again when the next one is due. */
void watch_look(struct master *);
/* Does a ready worker's loop turn, as far as the last look tells? */
bool watch_sees_life(const struct master *);

#endif
