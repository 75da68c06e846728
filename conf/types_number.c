/* Types whose values are numbers, with units or names for some. */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "conf/table.h"
#include "conf/types.h"

struct unit {
	const char *name;
	uint64_t scale;
};

/* Largest first; "" ends a list and is what a bare number means. */
static const struct unit times[] = { { "d", 86400000 }, { "h", 3600000 },
	{ "m", 60000 }, { "s", 1000 }, { "ms", 1 }, { "", 1000 } };
static const struct unit sizes[] = { { "G", 1 << 30 }, { "M", 1 << 20 },
	{ "k", 1 << 10 }, { "", 1 } };

const char *
number_parse(const char **text, uint64_t *out)
{
	const char *p = *text;
	uint64_t n = 0;

	if (*p < '0' || *p > '9')
		return "";
	for (; *p >= '0' && *p <= '9'; p++) {
		if (n > (UINT64_MAX - 9) / 10)
			return "too large";
		n = n * 10 + (uint64_t)(*p - '0');
	}
	*text = p;
	*out = n;
	return NULL;
}

static const char *
check_bounds(const struct setting *s, uint64_t n)
{
	if (n < s->min)
		return "too small";
	if (n > s->max)
		return "too large";
	return NULL;
}

static const char *
parse_scaled(uint64_t *out, const struct setting *s, const char *text,
    const struct unit *unit)
{
	uint64_t n = 0;
	const char *why = number_parse(&text, &n);

	if (why != NULL)
		return why;
	while (*unit->name != '\0' && strcasecmp(unit->name, text) != 0)
		unit++;
	if (*unit->name == '\0' && *text != '\0')
		return "no such unit";
	if (n > UINT64_MAX / unit->scale)
		return "too large";
	n *= unit->scale;
	why = check_bounds(s, n);
	if (why == NULL)
		*out = n;
	return why;
}

static void
print_scaled(uint64_t n, const struct unit *unit, FILE *out)
{
	while (*unit->name != '\0' && n % unit->scale != 0)
		unit++;
	if (n == 0)
		fputs("0", out);
	else
		fprintf(out, "%" PRIu64 "%s", n / unit->scale, unit->name);
}

static void
describe_scaled(const struct setting *s, const struct unit *unit, FILE *out)
{
	fputs("from ", out);
	print_scaled(s->min, unit, out);
	fputs(" to ", out);
	print_scaled(s->max, unit, out);
}

/* ---- bool ---------------------------------------------------------------- */

static const char *
parse_bool(void *dst, const struct setting *s, const char *text)
{
	bool yes = strcmp(text, "yes") == 0;

	(void)s;
	if (!yes && strcmp(text, "no") != 0)
		return "";
	*(bool *)dst = yes;
	return NULL;
}

static void
print_bool(const void *src, FILE *out)
{
	fputs(*(const bool *)src ? "yes" : "no", out);
}

static void
describe_bool(const struct setting *s, FILE *out)
{
	(void)s;
	fputs("yes or no", out);
}

const struct setting_type type_bool = { .parse = parse_bool,
	.print = print_bool,
	.describe = describe_bool };

/* ---- uint ---------------------------------------------------------------- */

static const char *
parse_uint(void *dst, const struct setting *s, const char *text)
{
	uint64_t n = 0;
	const char *why = number_parse(&text, &n);

	if (why == NULL && *text != '\0')
		why = "";
	if (why == NULL)
		why = check_bounds(s, n);
	if (why == NULL)
		*(unsigned *)dst = (unsigned)n;
	return why;
}

static void
print_uint(const void *src, FILE *out)
{
	fprintf(out, "%u", *(const unsigned *)src);
}

static void
describe_uint(const struct setting *s, FILE *out)
{
	fprintf(out, "a number from %" PRIu64 " to %" PRIu64, s->min, s->max);
}

const struct setting_type type_uint = { .parse = parse_uint,
	.print = print_uint,
	.describe = describe_uint };

/* ---- workers: auto is 0 until loading resolves it ------------------------ */

static const char *
parse_workers(void *dst, const struct setting *s, const char *text)
{
	if (strcmp(text, "auto") != 0)
		return parse_uint(dst, s, text);
	*(unsigned *)dst = 0;
	return NULL;
}

static void
describe_workers(const struct setting *s, FILE *out)
{
	fputs("auto or ", out);
	describe_uint(s, out);
}

const struct setting_type type_workers = { .parse = parse_workers,
	.print = print_uint,
	.describe = describe_workers };

/* ---- range: N or MIN-MAX ------------------------------------------------- */

static const char *
parse_range(void *dst, const struct setting *s, const char *text)
{
	uint64_t lo = 0, hi;
	const char *why = number_parse(&text, &lo);

	hi = lo;
	if (why == NULL && *text == '-') {
		text++;
		why = number_parse(&text, &hi);
	}
	if (why == NULL && *text != '\0')
		why = "";
	if (why == NULL && lo > hi)
		why = "ends below its start";
	if (why == NULL)
		why = check_bounds(s, lo);
	if (why == NULL)
		why = check_bounds(s, hi);
	if (why != NULL)
		return why;
	*(struct uint_range *)dst =
	    (struct uint_range){ .min = (unsigned)lo, .max = (unsigned)hi };
	return NULL;
}

static void
print_range(const void *src, FILE *out)
{
	const struct uint_range *r = src;

	fprintf(out, "%u", r->min);
	if (r->max != r->min)
		fprintf(out, "-%u", r->max);
}

static void
describe_range(const struct setting *s, FILE *out)
{
	describe_uint(s, out);
	fputs(", or a range such as 1-64", out);
}

const struct setting_type type_range = { .parse = parse_range,
	.print = print_range,
	.describe = describe_range };

/* ---- mode: octal --------------------------------------------------------- */

static const char *
parse_mode(void *dst, const struct setting *s, const char *text)
{
	unsigned n = 0;

	if (*text == '\0')
		return "";
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '7')
			return "";
		n = n * 8 + (unsigned)(*text - '0');
		if (n > s->max)
			return "too large";
	}
	*(unsigned *)dst = n;
	return NULL;
}

static void
print_mode(const void *src, FILE *out)
{
	fprintf(out, "%04o", *(const unsigned *)src);
}

static void
describe_mode(const struct setting *s, FILE *out)
{
	fprintf(out, "an octal mode from 0 to %04" PRIo64, s->max);
}

const struct setting_type type_mode = { .parse = parse_mode,
	.print = print_mode,
	.describe = describe_mode };

/* ---- percent ------------------------------------------------------------- */

static const char *
parse_percent(void *dst, const struct setting *s, const char *text)
{
	uint64_t n = 0;
	const char *why = number_parse(&text, &n);

	if (why == NULL && *text == '%')
		text++;
	if (why == NULL && *text != '\0')
		why = "";
	if (why == NULL)
		why = check_bounds(s, n);
	if (why == NULL)
		*(unsigned *)dst = (unsigned)n;
	return why;
}

static void
print_percent(const void *src, FILE *out)
{
	fprintf(out, "%u%%", *(const unsigned *)src);
}

static void
describe_percent(const struct setting *s, FILE *out)
{
	fprintf(out, "a percentage from %" PRIu64 "%% to %" PRIu64 "%%", s->min,
	    s->max);
}

const struct setting_type type_percent = { .parse = parse_percent,
	.print = print_percent,
	.describe = describe_percent };

/* ---- msec ---------------------------------------------------------------- */

static const char *
parse_msec(void *dst, const struct setting *s, const char *text)
{
	return parse_scaled(dst, s, text, times);
}

static void
print_msec(const void *src, FILE *out)
{
	print_scaled(*(const uint64_t *)src, times, out);
}

static void
describe_msec(const struct setting *s, FILE *out)
{
	fputs("a time ", out);
	describe_scaled(s, times, out);
	fputs(", such as 500ms, 10s, 5m, 2h", out);
}

const struct setting_type type_msec = { .parse = parse_msec,
	.print = print_msec,
	.describe = describe_msec };

/* ---- size ---------------------------------------------------------------- */

static const char *
parse_size(void *dst, const struct setting *s, const char *text)
{
	return parse_scaled(dst, s, text, sizes);
}

static void
print_size(const void *src, FILE *out)
{
	print_scaled(*(const uint64_t *)src, sizes, out);
}

static void
describe_size(const struct setting *s, FILE *out)
{
	fputs("a size ", out);
	describe_scaled(s, sizes, out);
	fputs(" bytes, such as 512, 64k, 16M, 1G", out);
}

const struct setting_type type_size = { .parse = parse_size,
	.print = print_size,
	.describe = describe_size };
