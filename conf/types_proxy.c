/* Types of the settings in [proxy]. */
#include <string.h>

#include "conf/bind.h"
#include "conf/list.h"
#include "conf/table.h"
#include "conf/trust.h"
#include "conf/types.h"

/* ---- trust --------------------------------------------------------------- */

static const char *
parse_trust(void *dst, const struct setting *s, const char *text)
{
	struct trust t, *old = dst;
	const char *why = trust_parse(&t, text);

	(void)s;
	if (why != NULL)
		return why;
	trust_fini(old);
	*old = t;
	return NULL;
}

static void
print_trust(const void *src, FILE *out)
{
	trust_print(src, out);
}

static void
describe_trust(const struct setting *s, FILE *out)
{
	(void)s;
	fputs("IP addresses, networks such as 10.0.0.0/8, unix or *, several "
	      "with commas",
	    out);
}

static void
fini_trust(void *p)
{
	trust_fini(p);
}

const struct setting_type type_trust = { .parse = parse_trust,
	.print = print_trust,
	.describe = describe_trust,
	.fini = fini_trust };

/* ---- proxied ------------------------------------------------------------- */

static const char *
parse_proxied(void *dst, const struct setting *s, const char *text)
{
	struct proxied new = { .all = strcmp(text, "on") == 0 }, *old = dst;
	const char *why = NULL;

	(void)s;
	if (!new.all && strcmp(text, "off") != 0)
		why = bind_list_parse(&new.some, text);
	if (why != NULL)
		return why;
	bind_list_fini(&old->some);
	*old = new;
	return NULL;
}

static void
print_proxied(const void *src, FILE *out)
{
	const struct proxied *p = src;

	if (p->some.n == 0)
		fputs(p->all ? "on" : "off", out);
	else
		type_binds.print(&p->some, out);
}

static void
describe_proxied(const struct setting *s, FILE *out)
{
	(void)s;
	fputs("off, on or addresses of bind, several with commas", out);
}

static void
fini_proxied(void *p)
{
	bind_list_fini(&((struct proxied *)p)->some);
}

const struct setting_type type_proxied = { .parse = parse_proxied,
	.print = print_proxied,
	.describe = describe_proxied,
	.fini = fini_proxied };

/* ---- forwarding ---------------------------------------------------------- */

static const struct {
	const char *name;
	unsigned bit;
} forwarding[] = {
	{ "Forwarded", FORWARDING_FORWARDED },
	{ "X-Forwarded-For", FORWARDING_X_FOR },
	{ "X-Forwarded-Proto", FORWARDING_X_PROTO },
	{ "X-Forwarded-Host", FORWARDING_X_HOST },
};
#define N_FORWARDING (sizeof forwarding / sizeof forwarding[0])

/* 0: p[0..n) is none of them. */
static unsigned
forwarding_bit(const char *p, size_t n)
{
	for (size_t i = 0; i < N_FORWARDING; i++)
		if (strlen(forwarding[i].name) == n &&
		    strncasecmp(forwarding[i].name, p, n) == 0)
			return forwarding[i].bit;
	return 0;
}

static const char *
add_forwarding(void *arg, const char *name, size_t n)
{
	unsigned *bits = arg, bit = forwarding_bit(name, n);

	if (strcspn(name, " \t") < n)
		return "has no comma between two names";
	*bits |= bit;
	return bit != 0 ? NULL : "";
}

static const char *
parse_forwarding(void *dst, const struct setting *s, const char *text)
{
	unsigned bits = 0;
	const char *why = NULL;

	(void)s;
	if (*text != '\0')
		why = list_parse(text, add_forwarding, &bits);
	if (why == NULL)
		*(unsigned *)dst = bits;
	return why;
}

static void
print_forwarding(const void *src, FILE *out)
{
	const char *comma = "";

	for (size_t i = 0; i < N_FORWARDING; i++)
		if ((*(const unsigned *)src & forwarding[i].bit) != 0) {
			fprintf(out, "%s%s", comma, forwarding[i].name);
			comma = ", ";
		}
}

static void
describe_forwarding(const struct setting *s, FILE *out)
{
	(void)s;
	for (size_t i = 0; i < N_FORWARDING; i++)
		fprintf(out, "%s, ", forwarding[i].name);
	fputs("several with commas, or nothing", out);
}

const struct setting_type type_forwarding = { .parse = parse_forwarding,
	.print = print_forwarding,
	.describe = describe_forwarding };
