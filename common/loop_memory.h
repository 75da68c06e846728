/*
 * The memory of libev, which ends the process where it gets none.  Address
 * space is set aside while there is some, and used when there is none; it costs
 * no page until then.
 */
#ifndef COMMON_LOOP_MEMORY_H
#define COMMON_LOOP_MEMORY_H

#include <stddef.h>

/* For a loop that watches file descriptors up to this number.  Before the loop
 * is made, and when none exists.  -1 and errno. */
int loop_memory_reserve(size_t fds);

#endif
