/* TARGET of the command line: an application without a file. */
#include <ctype.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/loading.h"

#define SECTION "app:main"

static bool
ends_in(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n > m && strcmp(text + n - m, end) == 0;
}

static bool
is_identifier(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != '_' && (p[i] & 0x80) == 0 &&
		    !isalpha((unsigned char)p[i]) &&
		    (i == 0 || !isdigit((unsigned char)p[i])))
			return false;
	return n > 0;
}

/* pkg.module, pkg.module:OBJECT, path/file.py or path/file.py:OBJECT. */
static bool
is_python(const char *target)
{
	size_t n = strcspn(target, ":"), part;

	if (n > 3 && memcmp(target + n - 3, ".py", 3) == 0)
		return true;
	for (; n > 0; target += part + 1, n -= part + (n > part)) {
		for (part = 0; part < n && target[part] != '.'; part++)
			continue;
		if (!is_identifier(target, part))
			return false;
		if (part == n)
			return true;
	}
	return false;
}

/* The type of application it is; NULL: none, which was told. */
static const char *
target_type(struct loading *l, const struct place *p, const char *target)
{
	struct stat st;
	bool module = ends_in(target, ".so");
	int rc = stat(target, &st);

	if (rc == 0 && S_ISDIR(st.st_mode))
		return "static";
	if (rc == 0 && module && S_ISREG(st.st_mode))
		return "module";
	if (rc < 0 && module && strchr(target, '/') == NULL)
		return "module"; /* looked for among the installed ones */
	if (is_python(target))
		return "wsgi";
	if (rc < 0)
		mistake(l, p, "%m");
	else
		mistake(l, p,
		    "must be a directory of files, a module whose name ends "
		    "in .so, or MODULE:OBJECT in Python");
	return NULL;
}

static void
assign_target(struct loading *l, const struct place *p, const char *type)
{
	struct assignment kind = { SECTION, "type", type };
	struct assignment target = { SECTION, "target", p->text };

	assign(l, p, &kind);
	assign(l, p, &target);
}

void
load_target(struct loading *l, const char *target)
{
	struct place p = { .origin = { .kind = ORIGIN_TARGET },
		.text = target };
	const char *type = target_type(l, &p, target);

	if (type == NULL)
		return;
	if (app_find(l->st, "main") != NULL)
		mistake(l, &p,
		    "is served as [" SECTION "], which exists already");
	else if (app_add(l, &p, SECTION) != NULL)
		assign_target(l, &p, type);
}
