/* The two halves of a sandbox; for sandbox.c alone. */
#ifndef WORKER_SANDBOX_PARTS_H
#define WORKER_SANDBOX_PARTS_H

struct settings;

/* Can this kernel do it?  0, or -1 and errno. */
int sandbox_files_check(void);
/* Landlock: this thread and those it makes open no other files than the
 * settings name.  0, or -1 and errno, with the path that was the trouble or
 * NULL. */
int sandbox_files(const struct settings *, const char **path);

/* Seccomp: no thread makes a system call that is not listed.  0, or -1 and
 * errno. */
int sandbox_calls(void);

#endif
