/* The table that prefork knows. */
#include <stdlib.h>
#include <string.h>

#include "python.h"

/* Linked into the program itself, it stands for this file (see
 * worker/module_path.c); nobody sees it in the file. */
#define TEXT_OF(n) TEXT(n)
#define TEXT(n)    #n
extern const char prefork_linked_in[];
const char prefork_linked_in[] =
    "python" TEXT_OF(PY_MAJOR_VERSION) "." TEXT_OF(PY_MINOR_VERSION) ".so";

/* A Python with nothing in it costs 10 ms and 5 MiB; it starts with the first
 * app and is shared by all of this worker. */
static int
start(const pf_host *host, pf_app *first, void **module)
{
	*module = &py;
	py.host = host;
	if (interpreter_start(first) < 0)
		return -1;
	PyEval_SaveThread();
	return 0;
}

/* One interpreter has one site-packages. */
static int
same_venv(pf_app *app)
{
	const char *venv = py.host->setting(app, "app.venv");

	if (venv != NULL && strcmp(venv, py.venv) == 0)
		return 0;
	py.host->fail(app,
	    "venv = %s: another application of this server has venv = %s, and "
	    "a worker has one Python",
	    venv != NULL ? venv : "", py.venv);
	return -1;
}

static PyObject *
load(pf_app *app)
{
	PyObject *callable = NULL, *done;

	if (interpreter_add_paths(app) == 0)
		callable = PyObject_CallMethod(py.bootstrap, "load", "sO",
		    py.host->target(app), py.testing ? Py_True : Py_False);
	if (callable == NULL)
		return NULL;
	done = PyObject_CallMethod(py.bootstrap, "settle", NULL);
	if (done == NULL)
		Py_CLEAR(callable);
	Py_XDECREF(done);
	return callable;
}

static bool
over_one(pf_app *app, const char *setting)
{
	const char *text = py.host->setting(app, setting);
	const char *most = text != NULL ? strchr(text, '-') : NULL;

	return text == NULL ||
	    strtol(most != NULL ? most + 1 : text, NULL, 10) > 1;
}

static int
open_app(const pf_host *host, pf_app *app, void *module, void **out)
{
	struct wsgi_app *a = calloc(1, sizeof *a);

	(void)module;
	if (a == NULL || same_venv(app) < 0) {
		free(a);
		return -1;
	}
	(void)host;
	a->app = app;
	a->multithread = over_one(app, "server.threads");
	a->multiprocess = over_one(app, "server.workers");
	PyEval_RestoreThread(py.main);
	a->callable = load(app);
	if (a->callable == NULL)
		interpreter_refuse(app, "");
	PyEval_SaveThread();
	if (a->callable == NULL) {
		free(a);
		return -1;
	}
	*out = a;
	return 0;
}

/* `prefork -t` is a process of its own: what it imports goes with it. */
static int
check(const pf_host *host, pf_app *app)
{
	void *module, *state;

	py.testing = true;
	if (py.main == NULL && start(host, app, &module) < 0)
		return -1;
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the process ends */
	return open_app(host, app, &py, &state);
}

static int
thread_begin(void *module, void **out)
{
	(void)module;
	*out = thread_new();
	return *out == NULL ? -1 : 0;
}

static void
thread_end(void *module, void *thread)
{
	(void)module;
	thread_free(thread);
}

static void
close_app(void *app)
{
	struct wsgi_app *a = app;

	PyEval_RestoreThread(py.main);
	environ_templates_free(a);
	Py_DECREF(a->callable);
	PyEval_SaveThread();
	free(a);
}

static void
end(void *module)
{
	(void)module;
	PyEval_RestoreThread(py.main);
	interpreter_end();
	PyEval_SaveThread();
	gil_end();
	free(py.venv);
}

PREFORK_MODULE(.name = "python", .version = PY_VERSION, .check = check,
    .worker_init = start, .open = open_app, .thread_init = thread_begin,
    .on_request = wsgi_request, .thread_fini = thread_end, .close = close_app,
    .worker_fini = end, .interrupt = gil_interrupt, .dump = gil_dump,
    .before_fork = fork_before, .after_fork_parent = fork_after_parent,
    .after_fork_child = fork_after_child);
