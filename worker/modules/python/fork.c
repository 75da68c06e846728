/* server.preload: CPython across the fork of a template.  Handlers and the
 * thread that interrupts them exist in workers only, so that gil.c has nothing
 * to forget. */
#include "python.h"

static void
call_bootstrap(const char *name)
{
	PyObject *done = PyObject_CallMethod(py.bootstrap, name, NULL);

	if (done == NULL)
		PyErr_Print();
	Py_XDECREF(done);
}

/* The GIL is held until fork_after_*(): no thread changes anything between. */
void
fork_before(void *module)
{
	(void)module;
	PyEval_RestoreThread(py.main);
	call_bootstrap("before_fork");
	PyOS_BeforeFork();
}

void
fork_after_parent(void *module)
{
	(void)module;
	PyOS_AfterFork_Parent();
	PyEval_SaveThread();
}

int
fork_after_child(void *module)
{
	(void)module;
	PyOS_AfterFork_Child();
	call_bootstrap("after_fork_child");
	PyEval_SaveThread();
	return 0;
}
