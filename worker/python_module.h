/* Which of the installed modules serves an application in Python: there is one
 * per minor version, python3.11.so, because each is linked with its libpython;
 * python3.so is the system's. */
#ifndef WORKER_PYTHON_MODULE_H
#define WORKER_PYTHON_MODULE_H

#include <stddef.h>

/* The file name of the module for this virtual environment ("": none).  0, or
 * -1 with the reason in err. */
int python_module_name(const char *venv, char *name, size_t name_size,
    char *err, size_t err_size);

/* Of a line of pyvenv.cfg: 1 and the version, if it is the one that has it. */
int python_version_line(const char *line, unsigned *major, unsigned *minor);

#endif
