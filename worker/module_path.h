/* Where the modules of applications are, and the programs that have one of them
 * linked in: DIR/modules/NAME.so may have a DIR/prefork-NAME, which is prefork
 * all over, with that module and its library linked into it (worker_program()
 * of worker.h).  It is for interpreters, which run faster as position-dependent
 * code. */
#ifndef WORKER_MODULE_PATH_H
#define WORKER_MODULE_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include <prefork/module.h>

struct app_settings;

/* The file of an app's module, links followed, so that the same one is never
 * loaded twice.  false: the reason is in err. */
bool module_path(const struct app_settings *, char path[PATH_MAX], char *err,
    size_t err_size);

/* The module that is linked into this program: NULL if that is not the one of
 * this path. */
const pf_module *module_linked_in(const char *path);
/* The same library, linked in and loaded, would be one too many: why this
 * module cannot be loaded into this program; NULL: it can. */
const char *module_unloadable(const char *path);

#endif
