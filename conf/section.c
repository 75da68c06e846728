/* The names in [brackets]: those of the table and app:NAME. */
#include <string.h>

#include "conf/loading.h"
#include "conf/suggest.h"
#include "conf/table.h"

const char *
section_known(const char *name)
{
	if (section_app(name) != NULL)
		return SECTION_APP;
	for (int i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);

		if (!setting_is_app(s) && strcmp(s->section, name) == 0)
			return s->section;
	}
	return NULL;
}

const char *
section_app(const char *section)
{
	size_t n = strlen(APP_PREFIX);

	return strncmp(section, APP_PREFIX, n) == 0 ? section + n : NULL;
}

/* ---- one that is not known ----------------------------------------------- */

static void
write_sections(FILE *out)
{
	const char *before = "";

	fputs("; there are ", out);
	for (int i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = setting_at((enum setting_row)i);

		if (!setting_is_app(s) && strcmp(s->section, before) != 0)
			fprintf(out, "%s[%s]", i > 0 ? ", " : "", s->section);
		before = s->section;
	}
	fputs(" and [app:NAME]", out);
}

void
section_unknown(struct loading *l, const struct place *p, const char *name)
{
	struct suggestion s = { .name = NULL };
	FILE *out = mistake_begin(l, p);

	if (p->origin.kind == ORIGIN_FILE)
		fprintf(out, "[%s]: ", name);
	fputs("no such section", out);
	for (int i = 0; i < N_SETTINGS; i++)
		suggest(&s, name, setting_at((enum setting_row)i)->section);
	if (s.name != NULL && strcmp(s.name, SECTION_APP) == 0)
		fputs("; did you mean [app:NAME]?", out);
	else if (s.name != NULL)
		fprintf(out, "; did you mean [%s]?", s.name);
	else
		write_sections(out);
	mistake_end(l, out);
}
