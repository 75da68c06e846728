/* Files of a directory: the built-in module `type = static`. */
#ifndef WORKER_HTTP_STATIC_H
#define WORKER_HTTP_STATIC_H

#include <prefork/module.h>

/* Written against the public ABI alone.  The app's target is the root. */
extern const pf_module static_module;

#endif
