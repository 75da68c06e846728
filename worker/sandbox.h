/*
 * server.sandbox = yes: from when its applications are open, a worker may call
 * of the kernel only what sandbox.def lists, and open only the files that the
 * settings name.  There is no way back.
 *
 * sandbox.c and what it calls, or sandbox_absent.c (WITH_SECCOMP=0).
 */
#ifndef WORKER_SANDBOX_H
#define WORKER_SANDBOX_H

#include <stddef.h>

struct settings;

/* Is a sandbox to be had here, if one is wanted?  0, or -1 with the reason. */
int sandbox_check(const struct settings *, char *err, size_t err_size);

/* If one is wanted: enters it, with all threads that there will be.  The
 * process has one.  0, or -1 with the reason. */
int sandbox_enter(const struct settings *, char *err, size_t err_size);

/* The name of a system call of this machine, or "?".  Not in a signal handler,
 * but in that of a refused system call. */
const char *sandbox_call_name(int call);

#endif
