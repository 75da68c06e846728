#include <string.h>

#include "master/wrap.h"

#define INDENT  6
#define COLUMNS 78

void
wrap_print(const char *text, FILE *out)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t n = strcspn(text, " ");

		if (column == 0 || column + 1 + n > COLUMNS) {
			fprintf(out, "%s%*s", column > 0 ? "\n" : "", INDENT,
			    "");
			column = INDENT;
		} else {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", (int)n, text);
		column += n;
		text += n + (text[n] == ' ');
	}
	fputc('\n', out);
}
