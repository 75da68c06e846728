#include "worker/http/http_date.h"

#include <stdint.h>

#define DAY_S      INT64_C(86400)
#define YEAR_0_S   INT64_C(-62167219200)
#define YEAR_10K_S INT64_C(253402300800)

static const char day_names[7][10] = { "Sunday", "Monday", "Tuesday",
	"Wednesday", "Thursday", "Friday", "Saturday" };
static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May",
	"Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

struct date {                 /* proleptic Gregorian, UTC */
	int year, month, day; /* month 0 to 11, day 1 to 31 */
	int hour, minute, second;
};

/*
 * Days are counted from 1970-01-01.  Between, years begin on 1 March, so that
 * the leap day is the last one of a year, and eras have 400 years.
 */
#define ERA_DAYS       146097
#define DAYS_TO_MAR_Y0 719468 /* from 0000-03-01 to 1970-01-01 */

/* Of 1 March to the first of month m, March being 0. */
static int64_t
days_before_month(int64_t m)
{
	return (153 * m + 2) / 5;
}

static int64_t
days_of(const struct date *d)
{
	int64_t m = (d->month + 10) % 12;
	int64_t y = d->year - (d->month < 2) + 400; /* not negative */

	return y / 400 * ERA_DAYS + y % 400 * 365 + y % 400 / 4 -
	    y % 400 / 100 + days_before_month(m) + d->day - 1 - DAYS_TO_MAR_Y0 -
	    ERA_DAYS;
}

static void
date_of_days(int64_t days, struct date *d)
{
	int64_t n = days + DAYS_TO_MAR_Y0 + ERA_DAYS;
	int64_t era = n / ERA_DAYS, in_era = n % ERA_DAYS;
	int64_t y = (in_era - in_era / 1460 + in_era / 36524 -
			in_era / (ERA_DAYS - 1)) /
	    365;
	int64_t in_year = in_era - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * in_year + 2) / 153;

	d->day = (int)(in_year - days_before_month(m)) + 1;
	d->month = (int)(m + 2) % 12;
	d->year = (int)(era * 400 + y - 400) + (d->month < 2);
}

/* Right-aligned with zeros. */
static char *
put_number(char *out, int value, int digits)
{
	for (int i = digits - 1; i >= 0; i--) {
		out[i] = (char)('0' + value % 10);
		value /= 10;
	}
	return out + digits;
}

static char *
put_bytes(char *out, const char *s, size_t n)
{
	memcpy(out, s, n);
	return out + n;
}

void
http_date_format(time_t when, char out[HTTP_DATE_LENGTH])
{
	int64_t t = when < YEAR_0_S ? YEAR_0_S :
	    when >= YEAR_10K_S      ? YEAR_10K_S - 1 :
				      when;
	int64_t since = t - YEAR_0_S; /* 0000-01-01 was a Saturday */
	int second = (int)(since % DAY_S);
	struct date d;

	date_of_days((since - second + YEAR_0_S) / DAY_S, &d);
	out = put_bytes(out, day_names[(since / DAY_S + 6) % 7], 3);
	out = put_bytes(out, ", ", 2);
	out = put_number(out, d.day, 2);
	out = put_bytes(out, " ", 1);
	out = put_bytes(out, month_names[d.month], 3);
	out = put_bytes(out, " ", 1);
	out = put_number(out, d.year, 4);
	out = put_bytes(out, " ", 1);
	out = put_number(out, second / 3600, 2);
	out = put_bytes(out, ":", 1);
	out = put_number(out, second / 60 % 60, 2);
	out = put_bytes(out, ":", 1);
	out = put_number(out, second % 60, 2);
	put_bytes(out, " GMT", 4);
}

/* Exactly `digits` digits. */
static bool
take_number(struct str *s, size_t digits, int *out)
{
	int value = 0;

	if (s->n < digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		value = value * 10 + (s->p[i] - '0');
	}
	*out = value;
	s->p += digits;
	s->n -= digits;
	return true;
}

static bool
take_bytes(struct str *s, const char *want, size_t n)
{
	if (s->n < n || memcmp(s->p, want, n) != 0)
		return false;
	s->p += n;
	s->n -= n;
	return true;
}

/* n == 0: the whole name. */
static bool
take_day_name(struct str *s, size_t n)
{
	for (size_t i = 0; i < 7; i++)
		if (take_bytes(s, day_names[i], n ? n : strlen(day_names[i])))
			return true;
	return false;
}

static bool
take_month(struct str *s, int *month)
{
	for (*month = 0; *month < 12; ++*month)
		if (take_bytes(s, month_names[*month], 3))
			return true;
	return false;
}

/* One letter of a pattern: see patterns[]. */
static bool
take_item(struct str *s, char item, struct date *d)
{
	switch (item) {
	case 'a': return take_day_name(s, 3);
	case 'A': return take_day_name(s, 0);
	case 'd': return take_number(s, 2, &d->day);
	case 'e':
		return take_bytes(s, " ", 1) ? take_number(s, 1, &d->day) :
					       take_number(s, 2, &d->day);
	case 'b': return take_month(s, &d->month);
	case 'y': return take_number(s, 2, &d->year);
	case 'Y': return take_number(s, 4, &d->year);
	case 'H': return take_number(s, 2, &d->hour);
	case 'm': return take_number(s, 2, &d->minute);
	case 's': return take_number(s, 2, &d->second);
	default: return take_bytes(s, &item, 1);
	}
}

static bool
take_pattern(struct str s, const char *pattern, struct date *d)
{
	for (; *pattern != '\0'; pattern++)
		if (!take_item(&s, *pattern, d))
			return false;
	return s.n == 0;
}

static bool
date_exists(const struct date *d)
{
	static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31,
		30, 31 };
	bool leap =
	    d->year % 4 == 0 && (d->year % 100 != 0 || d->year % 400 == 0);
	int last = days[d->month] + (d->month == 1 && leap);

	return d->day >= 1 && d->day <= last && d->hour < 24 &&
	    d->minute < 60 && d->second <= 60; /* 60: a leap second */
}

static int64_t
seconds_of(const struct date *d)
{
	int in_day = (d->hour * 60 + d->minute) * 60 + d->second;

	return days_of(d) * DAY_S + in_day;
}

/* More than 50 years in the future is the past. */
static void
guess_century(struct date *d, time_t now)
{
	struct date today;
	int64_t limit;

	date_of_days((now - YEAR_0_S) / DAY_S + YEAR_0_S / DAY_S, &today);
	d->year += (today.year / 100 + 1) * 100;
	today.year += 50;
	limit = days_of(&today) * DAY_S + (now - YEAR_0_S) % DAY_S;
	while (seconds_of(d) > limit)
		d->year -= 100;
}

bool
http_date_parse(struct str s, time_t now, time_t *out)
{
	static const struct {
		const char *pattern;
		bool short_year;
	} patterns[] = {
		{ "a, d b Y H:m:s GMT", false },
		{ "A, d-b-y H:m:s GMT", true },
		{ "a b e H:m:s Y", false },
	};

	for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
		struct date d = { .year = 0 };

		if (!take_pattern(s, patterns[i].pattern, &d))
			continue;
		if (patterns[i].short_year)
			guess_century(&d, now);
		if (!date_exists(&d))
			return false;
		*out = seconds_of(&d);
		return true;
	}
	return false;
}
