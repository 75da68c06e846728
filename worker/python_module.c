#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/python_module.h"

static int
version(const char *text, unsigned *major, unsigned *minor)
{
	char *end;

	*major = (unsigned)strtoul(text, &end, 10);
	if (*end != '.')
		return 0;
	*minor = (unsigned)strtoul(end + 1, NULL, 10);
	return *major > 0;
}

/* "version = 3.11.2" of the standard library's venv, "version_info =
 * 3.11.2.final.0" of virtualenv. */
int
python_version_line(const char *line, unsigned *major, unsigned *minor)
{
	static const char *const keys[] = { "version_info", "version" };

	line += strspn(line, " \t");
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		size_t n = strlen(keys[i]);
		const char *value = line + n;

		if (strncmp(line, keys[i], n) != 0)
			continue;
		value += strspn(value, " \t");
		if (*value++ != '=')
			continue;
		return version(value, major, minor);
	}
	return 0;
}

int
python_module_name(const char *venv, char *name, size_t name_size, char *err,
    size_t err_size)
{
	char path[PATH_MAX], line[512];
	unsigned major = 0, minor = 0;
	FILE *in;

	if (venv[0] == '\0') {
		snprintf(name, name_size, "python3.so");
		return 0;
	}
	snprintf(path, sizeof path, "%s/pyvenv.cfg", venv);
	in = fopen(path, "re");
	if (in == NULL) {
		snprintf(err, err_size,
		    "venv = %s: not a virtual environment of Python: "
		    "%s: %m",
		    venv, path);
		return -1;
	}
	while (fgets(line, sizeof line, in) != NULL)
		if (python_version_line(line, &major, &minor))
			break;
	fclose(in);
	if (major == 0) {
		snprintf(err, err_size, "%s has no line with the version",
		    path);
		return -1;
	}
	snprintf(name, name_size, "python%u.%u.so", major, minor);
	return 0;
}
