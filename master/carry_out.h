/* The supervisor decides; this does it. */
#ifndef MASTER_CARRY_OUT_H
#define MASTER_CARRY_OUT_H

#include <stdbool.h>

struct deployment;
struct master;
struct sup_action;

void carry_out(struct master *, const struct sup_action *);
/* Where d listens and `was` (or NULL) does not. */
void log_listeners(const struct deployment *d, const struct deployment *was);
/* Frees the one of this generation, or all but that one. */
void free_deployments(struct master *, unsigned generation, bool but_this);

#endif
