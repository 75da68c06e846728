/* PURE: what a wait status means. */
#ifndef MASTER_EXIT_TEXT_H
#define MASTER_EXIT_TEXT_H

#include <stddef.h>

#include "master/supervisor.h"

enum sup_fate exit_fate(int status);
/* "exited", "exited with status 3", "was killed by SIGSEGV (core dumped)" */
void exit_text(int status, char *buf, size_t buf_bytes);

#endif
