#include <errno.h>
#include <string.h>

#include "conf/ini.h"
#include "conf/loading.h"
#include "conf/table.h"

struct file_loading {
	struct loading *l;
	/* Of the lines that follow; "": none yet. */
	char section[SECTION_BYTES];
	bool ignored; /* it is unknown: its keys cannot be judged */
};

static struct place
place_at(unsigned line)
{
	return (
	    struct place){ .origin = { .kind = ORIGIN_FILE, .line = line } };
}

/* False: it is not a section that may begin here, which was told. */
static bool
open_section(struct loading *l, const struct place *p, const char *name)
{
	const char *app_name = section_app(name);
	const struct app_settings *app;

	if (app_name == NULL && section_known(name) == NULL) {
		section_unknown(l, p, name);
		return false;
	}
	if (app_name == NULL)
		return true;
	app = app_find(l->st, app_name);
	if (app == NULL)
		return app_add(l, p, name) != NULL;
	mistake(l, p, "[%s]: given twice, first in line %u", name,
	    app->origin.line);
	return false;
}

static void
on_section(void *arg, unsigned line, const char *name)
{
	struct file_loading *f = arg;
	struct place p = place_at(line);

	f->ignored = name == NULL || !open_section(f->l, &p, name);
	if (!f->ignored) /* known ones are short */
		snprintf(f->section, sizeof f->section, "%s", name);
}

static void
on_pair(void *arg, unsigned line, const char *key, const char *value)
{
	struct file_loading *f = arg;
	struct place p = place_at(line);

	if (!f->ignored)
		assign(f->l, &p,
		    &(struct assignment){ .section = f->section,
			.key = key,
			.value = value });
}

static void
on_mistake(void *arg, unsigned line, const char *what)
{
	struct file_loading *f = arg;
	struct place p = place_at(line);

	mistake(f->l, &p, "%s", what);
}

static void
tell_errno(struct loading *l)
{
	struct place p = place_at(0);

	mistake(l, &p, "cannot read: %m");
}

void
load_file(struct loading *l, FILE *stream)
{
	static const struct ini_sink sink = { .on_section = on_section,
		.on_pair = on_pair,
		.on_mistake = on_mistake };
	struct file_loading f = { .l = l };
	FILE *in = stream != NULL ? stream : fopen(l->file, "re");

	if (in == NULL) {
		tell_errno(l);
		return;
	}
	if (ini_read(in, &sink, &f) < 0)
		tell_errno(l);
	if (in != stream)
		fclose(in);
}
