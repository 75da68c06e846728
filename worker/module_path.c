#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/settings.h"
#include "worker/module_path.h"
#include "worker/python_module.h"
#include "worker/worker.h"

/* Of the module that is linked into this program, if one is. */
extern const char prefork_linked_in[] __attribute__((weak)); /* NAME.so */
extern const pf_module prefork_module __attribute__((weak));

/* ---- modules ------------------------------------------------------------ */

/* modules/NAME beside the executable, so that a build tree serves itself. */
static bool
beside_executable(const char *name, char *out, size_t size)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	char *slash;

	if (n <= 0)
		return false;
	exe[n] = '\0';
	slash = strrchr(exe, '/');
	if (slash == NULL)
		return false;
	*slash = '\0';
	return (size_t)snprintf(out, size, "%s/modules/%s", exe, name) < size &&
	    access(out, R_OK) == 0;
}

static void
find(const char *target, char *out, size_t size)
{
	if (strchr(target, '/') != NULL)
		snprintf(out, size, "%s", target);
	else if (!beside_executable(target, out, size))
		snprintf(out, size, "%s/%s", PREFORK_MODULE_DIR, target);
}

bool
module_path(const struct app_settings *s, char path[PATH_MAX], char *err,
    size_t err_size)
{
	char name[64], found[PATH_MAX], why[PATH_MAX + 256];

	if (s->type == APP_STATIC) {
		snprintf(path, PATH_MAX, "static files");
		return true;
	}
	if (s->type == APP_MODULE) {
		find(s->target, found, sizeof found);
	} else if (python_module_name(s->venv, name, sizeof name, why,
		       sizeof why) == 0) {
		find(name, found, sizeof found);
	} else {
		snprintf(err, err_size, "app %s: %s", s->name, why);
		return false;
	}
	if (realpath(found, path) == NULL)
		snprintf(path, PATH_MAX, "%s", found); /* dlopen says why */
	return true;
}

/* ---- what is linked in --------------------------------------------------- */

static const char *
file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

const pf_module *
module_linked_in(const char *path)
{
	return prefork_linked_in != NULL &&
		strcmp(file_name(path), prefork_linked_in) == 0 ?
	    &prefork_module :
	    NULL;
}

const char *
module_unloadable(const char *path)
{
	static const char python[] = "python3.";

	if (prefork_linked_in == NULL ||
	    strncmp(file_name(path), python, sizeof python - 1) != 0 ||
	    strncmp(prefork_linked_in, python, sizeof python - 1) != 0)
		return NULL;
	return "this process has another Python: it takes a restart, or "
	       "preforkctl upgrade";
}

/* ---- programs ----------------------------------------------------------- */

/* DIR/prefork-NAME of DIR/modules/NAME.so. */
static bool
program_of(const char *module, char path[PATH_MAX])
{
	static const char directory[] = "/modules", suffix[] = ".so";
	const char *name = strrchr(module, '/');
	size_t n = strlen(module), dir;

	if (name == NULL || n < sizeof suffix - 1 ||
	    strcmp(module + n - (sizeof suffix - 1), suffix) != 0)
		return false;
	dir = (size_t)(name - module);
	if (dir < sizeof directory - 1 ||
	    strncmp(name - (sizeof directory - 1), directory,
		sizeof directory - 1) != 0)
		return false;
	n -= dir + 1 + sizeof suffix - 1;
	dir -= sizeof directory - 1;
	return snprintf(path, PATH_MAX, "%.*s/prefork-%.*s", (int)dir, module,
		   (int)n, name + 1) < PATH_MAX &&
	    access(path, X_OK) == 0;
}

/* Of modules that the operator chose nothing is run but what he named. */
bool
worker_program(const struct settings *s, char path[PATH_MAX])
{
	char module[PATH_MAX], err[PATH_MAX + 512];

	for (size_t i = 0; i < s->n_apps; i++)
		if (s->apps[i].type == APP_WSGI &&
		    module_path(&s->apps[i], module, err, sizeof err) &&
		    module_linked_in(module) == NULL &&
		    program_of(module, path))
			return true;
	return false;
}
