/* prefork -t */
#ifndef MASTER_CHECK_H
#define MASTER_CHECK_H

struct settings;

/* Prints what is wrong, or "NAME: ok", to stderr; returns the exit status. */
int check_run(const struct settings *, const char *name);

#endif
