/*
 * Writes the generated documents; not part of the program.
 *   docgen ini  >conf/server.ini
 *   docgen man  <man/prefork.ini.5.in >man/prefork.ini.5
 *   docgen help
 */
#include <stdlib.h>
#include <string.h>

#include "conf/load.h"

#define MARK ".\\\" @SETTINGS@\n"

/* The template with the list of settings in place of its mark. */
static int
fill_template(FILE *in, FILE *out)
{
	char *line = NULL;
	size_t size = 0;
	int marks = 0;

	while (getline(&line, &size, in) >= 0) {
		if (strcmp(line, MARK) == 0) {
			marks++;
			settings_print_man(out);
		} else {
			fputs(line, out);
		}
	}
	free(line);
	if (marks == 1)
		return 0;
	fprintf(stderr, "docgen: the template has %d marks, not 1\n", marks);
	return 1;
}

int
main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";

	if (strcmp(what, "man") == 0)
		return fill_template(stdin, stdout);
	if (strcmp(what, "ini") == 0)
		settings_print_ini(stdout);
	else if (strcmp(what, "help") == 0)
		settings_print_help(stdout);
	else
		return fputs("usage: docgen ini|man|help\n", stderr), 2;
	return 0;
}
