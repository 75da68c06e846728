/* All the master may know of a worker: how to become one, how it ends. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct heritage;
struct settings;

enum worker_exit {
	WORKER_OK = 0,
	WORKER_CANNOT_BOOT = 3, /* the machine or the configuration */
	WORKER_CANNOT_LOAD = 4, /* the application refused to load */
};

/* What is in flight has so long when it is told to quit; then it is killed. */
#define WORKER_QUIT_MS 2000

/* Serves until it is retired; returns an enum worker_exit.  Privileges are
 * dropped, signals are at their defaults, the process has one thread. */
int worker_main(const struct heritage *);

/* server.preload: loads the applications, then makes workers of itself as the
 * master asks on the channel, until that ends.  Called like worker_main();
 * returns in the template and in each worker, an enum worker_exit. */
int template_main(const struct heritage *);

/* `prefork -t`: would the applications load?  Loads each without serving.
 * 0, or a worker_exit with the reason in err.  Call it in a child: a module may
 * crash. */
int worker_check(const struct settings *, char *err, size_t err_size);

/* The program, other than this one, that has the module of one of the apps
 * linked in: workers run better in it.  false: none is installed, or this one
 * has it, too. */
bool worker_program(const struct settings *, char path[PATH_MAX]);

#endif
