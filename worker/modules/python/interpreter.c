/* Starts and ends CPython. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "python.h"

struct python py;

/* bootstrap.py as it stands, put here by the assembler. */
__asm__(".pushsection .rodata\n"
	"bootstrap_text:\n"
	".incbin \"worker/modules/python/bootstrap.py\"\n"
	".byte 0\n"
	".popsection\n");
extern const char bootstrap_text[] __attribute__((visibility("hidden")));

/* ---- before it runs ----------------------------------------------------- */

/* C extensions of the distribution are not linked with libpython: its symbols
 * must be visible to all, and modules are loaded with RTLD_LOCAL. */
static int
libpython_for_all(pf_app *app)
{
	Dl_info us, info;

	if (dladdr(&py, &us) != 0 &&
	    dladdr((void *)(uintptr_t)Py_InitializeFromConfig, &info) != 0 &&
	    (us.dli_fbase == info.dli_fbase || /* of this program */
		dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD) !=
		    NULL))
		return 0;
	py.host->fail(app, "cannot make libpython visible: %s",
	    dlerror()); /* NOLINT(concurrency-mt-unsafe) */
	return -1;
}

static int
version_check(pf_app *app)
{
	const char *running = Py_GetVersion();
	char ours[16];
	int n = snprintf(ours, sizeof ours, "%d.%d.", PY_MAJOR_VERSION,
	    PY_MINOR_VERSION);

	if (strncmp(running, ours, (size_t)n) == 0)
		return 0;
	py.host->fail(app, "built for Python %d.%d, loaded with %s",
	    PY_MAJOR_VERSION, PY_MINOR_VERSION, running);
	return -1;
}

/* CPython itself falls back to the system's packages without a word. */
static int
venv_check(pf_app *app, const char *venv)
{
	char path[PATH_MAX];

	if (venv[0] == '\0')
		return 0;
	snprintf(path, sizeof path, "%s/lib/python%d.%d/site-packages", venv,
	    PY_MAJOR_VERSION, PY_MINOR_VERSION);
	if (access(path, R_OK | X_OK) == 0)
		return 0;
	py.host->fail(app, "venv = %s: cannot read %s: %s", venv, path,
	    strerrordesc_np(errno));
	return -1;
}

/* What sys.executable is to be: of the venv, whose home it gives away, or of
 * the installation that libpython belongs to. */
static int
executable_path(const char *venv, char *out, size_t size)
{
	char *full;

	if (venv[0] == '\0') {
		snprintf(out, size, "%s", PYTHON_EXECUTABLE);
		return 0;
	}
	full = realpath(venv, NULL);
	if (full == NULL)
		return -1;
	snprintf(out, size, "%s/bin/python3", full);
	free(full);
	return 0;
}

/* ---- starting ----------------------------------------------------------- */

static int
refuse_status(pf_app *app, PyStatus s)
{
	py.host->fail(app, "cannot start Python: %s%s%s",
	    s.func != NULL ? s.func : "", s.func != NULL ? ": " : "",
	    s.err_msg != NULL ? s.err_msg : "no reason given");
	return -1;
}

static PyStatus
configure(PyConfig *c, const char *executable)
{
	char *argv[] = { (char *)(uintptr_t) "prefork" };
	PyStatus s;

	PyConfig_InitPythonConfig(c);
	c->parse_argv = 0;
	c->install_signal_handlers = 0;
	c->user_site_directory = 0;
	s = PyConfig_SetBytesArgv(c, 1, argv);
	if (!PyStatus_Exception(s))
		s = PyConfig_SetBytesString(c, &c->executable, executable);
	return s;
}

static int
initialize(pf_app *app, const char *venv)
{
	char executable[PATH_MAX];
	PyConfig config;
	PyStatus s;

	if (executable_path(venv, executable, sizeof executable) < 0) {
		py.host->fail(app, "venv = %s: %s", venv,
		    strerrordesc_np(errno));
		return -1;
	}
	s = configure(&config, executable);
	if (!PyStatus_Exception(s))
		s = Py_InitializeFromConfig(&config);
	PyConfig_Clear(&config);
	if (PyStatus_Exception(s))
		return refuse_status(app, s);
	py.main = PyThreadState_Get();
	return 0;
}

int
interpreter_refuse(pf_app *app, const char *doing)
{
	PyObject *kind, *value, *trace, *text;
	const char *why;

	PyErr_Fetch(&kind, &value, &trace);
	PyErr_NormalizeException(&kind, &value, &trace);
	text = value != NULL ? PyObject_Str(value) : NULL;
	why = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
	py.host->fail(app, "%s%s", doing, why != NULL ? why : "out of memory");
	PyErr_Clear();
	Py_XDECREF(text);
	Py_XDECREF(kind);
	Py_XDECREF(value);
	Py_XDECREF(trace);
	return -1;
}

static int
load_bootstrap(void)
{
	PyObject *code = Py_CompileString(bootstrap_text,
	    "prefork/bootstrap.py", Py_file_input);
	PyObject *done = NULL;

	if (code == NULL)
		return -1;
	py.bootstrap =
	    PyImport_ExecCodeModuleEx("_prefork", code, "prefork/bootstrap.py");
	Py_DECREF(code);
	if (py.bootstrap == NULL)
		return -1;
	py.timeout = PyObject_GetAttrString(py.bootstrap, "RequestTimeout");
	done = PyObject_CallMethod(py.bootstrap, "begin", NULL);
	Py_XDECREF(done);
	return py.timeout == NULL || done == NULL ? -1 : 0;
}

int
interpreter_add_paths(pf_app *app)
{
	const char *text = py.host->setting(app, "app.pythonpath");
	PyObject *paths = PyList_New(0), *done = NULL, *one;
	size_t n;

	for (; paths != NULL && text != NULL && *text != '\0';
	     text += n + (text[n] == ':')) {
		n = strcspn(text, ":");
		one = n > 0 ?
		    PyUnicode_DecodeFSDefaultAndSize(text, (Py_ssize_t)n) :
		    NULL;
		if (one != NULL)
			PyList_Append(paths, one);
		Py_XDECREF(one);
	}
	if (paths != NULL && !PyErr_Occurred())
		done =
		    PyObject_CallMethod(py.bootstrap, "add_paths", "O", paths);
	Py_XDECREF(paths);
	Py_XDECREF(done);
	return done == NULL ? -1 : 0;
}

/* Importing from the working directory, as gunicorn has it. */
static int
add_working_directory(void)
{
	PyObject *done =
	    PyObject_CallMethod(py.bootstrap, "add_paths", "[s]", ".");

	Py_XDECREF(done);
	return done == NULL ? -1 : 0;
}

int
interpreter_start(pf_app *app)
{
	const char *venv = py.host->setting(app, "app.venv");

	if (venv == NULL || (py.venv = strdup(venv)) == NULL) {
		py.host->fail(app, "out of memory");
		return -1;
	}
	if (version_check(app) < 0 || venv_check(app, venv) < 0 ||
	    libpython_for_all(app) < 0 || initialize(app, venv) < 0)
		return -1;
	if (load_bootstrap() == 0 && add_working_directory() == 0 &&
	    environ_init() == 0 && input_init() == 0 && start_init() == 0 &&
	    file_wrapper_init() == 0 && gil_init() == 0)
		return 0;
	return interpreter_refuse(app, "cannot start Python: ");
}

void
interpreter_end(void)
{
	PyObject *done = PyObject_CallMethod(py.bootstrap, "end", NULL);

	if (done == NULL)
		PyErr_Print();
	Py_XDECREF(done);
}
