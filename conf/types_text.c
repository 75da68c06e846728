/* Types whose values are text, or names of a few choices. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "conf/bind.h"
#include "conf/table.h"
#include "conf/types.h"

/* *dst owns `text` from here, also when it is NULL. */
static const char *
take(void *dst, char *text)
{
	char **p = dst;

	if (text == NULL)
		return "out of memory";
	free(*p);
	*p = text;
	return NULL;
}

static void
print_string(const void *src, FILE *out)
{
	fputs(*(char *const *)src, out);
}

static void
fini_string(void *p)
{
	char **text = p;

	free(*text);
	*text = NULL;
}

/* ---- string -------------------------------------------------------------- */

static const char *
parse_string(void *dst, const struct setting *s, const char *text)
{
	size_t n = strlen(text);

	if (n < s->min)
		return "";
	if (n > s->max)
		return "too long";
	return take(dst, strdup(text));
}

static void
describe_string(const struct setting *s, FILE *out)
{
	if (s->min > 0)
		fprintf(out, "%" PRIu64 " to ", s->min);
	else
		fputs("at most ", out);
	fprintf(out, "%" PRIu64 " bytes", s->max);
}

const struct setting_type type_string = { .parse = parse_string,
	.print = print_string,
	.describe = describe_string,
	.fini = fini_string };

/* ---- host: the uri-host of RFC 9110 7.2, lower case, without port -------- */

static const char *
check_host(const char *text)
{
	const char *set = "abcdefghijklmnopqrstuvwxyz"
			  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	size_t n;

	if (*text == '[') {
		n = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
		return text[n] == ']' && text[n + 1] == '\0' ? NULL : "";
	}
	n = strspn(text, set);
	if (text[n] == ':')
		return "has a port";
	return text[n] == '\0' ? NULL : "";
}

static const char *
parse_host(void *dst, const struct setting *s, const char *text)
{
	const char *why = check_host(text);
	char *copy;

	if (why != NULL)
		return why;
	if (strlen(text) > s->max)
		return "too long";
	copy = strdup(text);
	for (char *p = copy; p != NULL && *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	return take(dst, copy);
}

static void
describe_host(const struct setting *s, FILE *out)
{
	fprintf(out, "a host name or [v6 address] of at most %" PRIu64 " bytes",
	    s->max);
}

const struct setting_type type_host = { .parse = parse_host,
	.print = print_string,
	.describe = describe_host,
	.fini = fini_string };

/* ---- mount: a path of whole segments, compared with decoded paths -------- */

static const char *
check_segment(const char *p, size_t n)
{
	if (n == 0)
		return "has an empty segment";
	if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
		return "has a dot segment";
	return NULL;
}

static const char *
check_mount(const char *text, const struct setting *s)
{
	size_t n;
	const char *why;

	if (*text != '/')
		return "";
	if (strlen(text) > s->max)
		return "too long";
	if (strpbrk(text, "%?# \t") != NULL)
		return "has a %, ?, # or space";
	for (const char *p = text + 1; *p != '\0'; p += n + (p[n] == '/')) {
		n = strcspn(p, "/");
		why = check_segment(p, n);
		if (why != NULL)
			return why;
	}
	return NULL;
}

static const char *
parse_mount(void *dst, const struct setting *s, const char *text)
{
	const char *why = check_mount(text, s);
	size_t n = strlen(text);

	if (why != NULL)
		return why;
	return take(dst, strndup(text, n - (text[n - 1] == '/')));
}

static void
print_mount(const void *src, FILE *out)
{
	const char *mount = *(char *const *)src;

	fputs(*mount != '\0' ? mount : "/", out);
}

static void
describe_mount(const struct setting *s, FILE *out)
{
	fprintf(out,
	    "a path that begins with a slash, of at most %" PRIu64 " bytes",
	    s->max);
}

const struct setting_type type_mount = { .parse = parse_mount,
	.print = print_mount,
	.describe = describe_mount,
	.fini = fini_string };

/* ---- path: as a request line has it -------------------------------------- */

static const char *
parse_path(void *dst, const struct setting *s, const char *text)
{
	if (*text != '\0' && *text != '/')
		return "";
	if (strlen(text) > s->max)
		return "too long";
	for (const char *p = text; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~' || *p == '#')
			return "has a #, space or byte beyond ASCII";
	return take(dst, strdup(text));
}

static void
describe_path(const struct setting *s, FILE *out)
{
	describe_mount(s, out);
	fputs(", or empty", out);
}

const struct setting_type type_path = { .parse = parse_path,
	.print = print_string,
	.describe = describe_path,
	.fini = fini_string };

/* ---- binds --------------------------------------------------------------- */

static const char *
parse_binds(void *dst, const struct setting *s, const char *text)
{
	struct bind_list list = { .at = NULL, .n = 0 };
	struct bind_list *old = dst;
	const char *why = bind_list_parse(&list, text);

	(void)s;
	if (why != NULL)
		return why;
	bind_list_fini(old);
	*old = list;
	return NULL;
}

static void
print_binds(const void *src, FILE *out)
{
	const struct bind_list *l = src;

	for (size_t i = 0; i < l->n; i++)
		fprintf(out, "%s%s", i > 0 ? ", " : "", l->at[i].spec);
}

static void
describe_binds(const struct setting *s, FILE *out)
{
	(void)s;
	fputs("address:port, [v6 address]:port, unix:/path, fd://N or "
	      "fd://NAME, "
	      "several with commas",
	    out);
}

static void
fini_binds(void *p)
{
	bind_list_fini(p);
}

const struct setting_type type_binds = { .parse = parse_binds,
	.print = print_binds,
	.describe = describe_binds,
	.fini = fini_binds };

/* ---- choices ------------------------------------------------------------- */

static const char *const levels[] = { [LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug" };
static const char *const app_types[] = { [APP_STATIC] = "static",
	[APP_MODULE] = "module",
	[APP_WSGI] = "wsgi" };

/* The index of text in names, n when it is not there. */
static size_t
choice_find(const char *const *names, size_t n, const char *text)
{
	size_t i = 0;

	while (i < n && strcmp(names[i], text) != 0)
		i++;
	return i;
}

static const char *
parse_level(void *dst, const struct setting *s, const char *text)
{
	size_t n = sizeof levels / sizeof levels[0];
	size_t i = choice_find(levels, n, text);

	(void)s;
	if (i == n)
		return "";
	*(unsigned *)dst = (unsigned)i;
	return NULL;
}

static void
print_level(const void *src, FILE *out)
{
	fputs(levels[*(const unsigned *)src], out);
}

static void
describe_level(const struct setting *s, FILE *out)
{
	(void)s;
	fputs("error, warn, info or debug", out);
}

const struct setting_type type_level = { .parse = parse_level,
	.print = print_level,
	.describe = describe_level };

static const char *
parse_apptype(void *dst, const struct setting *s, const char *text)
{
	size_t n = sizeof app_types / sizeof app_types[0];
	size_t i = choice_find(app_types, n, text);

	(void)s;
	if (i == n)
		return "";
	*(enum app_type *)dst = (enum app_type)i;
	return NULL;
}

static void
print_apptype(const void *src, FILE *out)
{
	fputs(app_types[*(const enum app_type *)src], out);
}

static void
describe_apptype(const struct setting *s, FILE *out)
{
	(void)s;
	fputs("static, module or wsgi", out);
}

const struct setting_type type_apptype = { .parse = parse_apptype,
	.print = print_apptype,
	.describe = describe_apptype };
