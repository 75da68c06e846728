/* Which file this process runs, and whether another one is to run instead: one
 * with a module linked in (worker_program() of worker.h). */
#ifndef MASTER_PROGRAM_H
#define MASTER_PROGRAM_H

struct settings_source;

/* First of all: takes what a program_change() left in the environment. */
void program_take(void);

/* The program as it was named at the start: NULL or the caller's to free.  A
 * link stays a link, so that it may lead to a new file. */
char *program_find(void);

/* Becomes the program that has what these settings need linked in, before
 * anything was taken from the environment.  Returns if there is none; what is
 * needed is loaded, then. */
void program_change(const struct settings_source *, char **argv);

#endif
