#include "worker/http/uri.h"

/* RFC 3986 3.2.2: unreserved and sub-delims. */
static const unsigned char reg_name[256] = {
	['!'] = 1,
	['$'] = 1,
	['&' ... '.'] = 1,
	['0' ... '9'] = 1,
	[';'] = 1,
	['='] = 1,
	['A' ... 'Z'] = 1,
	['_'] = 1,
	['a' ... 'z'] = 1,
	['~'] = 1,
};

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of "%XX", or -1. */
static int
escape_value(const char *p, size_t n)
{
	int high = n >= 3 ? hex_value(p[1]) : -1;
	int low = n >= 3 ? hex_value(p[2]) : -1;

	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool
uri_decode(struct str raw, char *out, size_t *n_out)
{
	size_t in = 0, made = 0;

	while (in < raw.n) {
		const char *from = raw.p + in;
		const char *esc = memchr(from, '%', raw.n - in);
		size_t plain = esc ? (size_t)(esc - from) : raw.n - in;
		int byte;

		memmove(out + made, from, plain);
		made += plain;
		in += plain;
		if (esc == NULL)
			break;
		byte = escape_value(esc, raw.n - in);
		if (byte <= 0)
			return false;
		out[made++] = (char)byte;
		in += 3;
	}
	*n_out = made;
	return true;
}

/* Of the reg-name at p; it ends before what cannot belong to it. */
static size_t
reg_name_length(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		if (reg_name[(unsigned char)p[i]])
			i++;
		else if (p[i] == '%' && escape_value(p + i, n - i) >= 0)
			i += 3;
		else
			break;
	}
	return i;
}

/* Four numbers up to 255 without leading zeros. */
static bool
ipv4_ok(const char *p, size_t n)
{
	unsigned dots = 0, value = 0, digits = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '.' && digits > 0 && dots < 3) {
			dots++;
			value = digits = 0;
			continue;
		}
		if (p[i] < '0' || p[i] > '9' || (digits > 0 && value == 0))
			return false;
		value = value * 10 + (unsigned)(p[i] - '0');
		digits++;
		if (value > 255)
			return false;
	}
	return dots == 3 && digits > 0;
}

/* The length of 1 to 4 hex digits at p, 0 if there are none or more. */
static size_t
group_length(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && hex_value(p[i]) >= 0)
		i++;
	return i <= 4 ? i : 0;
}

/* RFC 4291 2.2: eight groups of hex digits; once, "::" stands for the missing
 * ones; the last two may be an IPv4 address. */
static bool
ipv6_ok(const char *p, size_t n)
{
	unsigned groups = 0;
	bool gap = n >= 2 && p[0] == ':' && p[1] == ':';
	size_t i = gap ? 2 : 0;

	while (i < n) {
		size_t digits = group_length(p + i, n - i);

		if (memchr(p + i, ':', n - i) == NULL &&
		    memchr(p + i, '.', n - i) != NULL)
			return ipv4_ok(p + i, n - i) &&
			    (gap ? groups < 6 : groups == 6);
		if (digits == 0)
			return false;
		groups++;
		i += digits;
		if (i == n)
			break;
		if (p[i++] != ':' || i == n)
			return false;
		if (p[i] == ':') {
			if (gap)
				return false;
			gap = true;
			i++;
		}
	}
	return gap ? groups < 8 : groups == 8;
}

/* "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" ) */
static bool
ip_future_ok(const char *p, size_t n)
{
	size_t i = 1;

	if (n == 0 || (p[0] | 0x20) != 'v')
		return false;
	while (i < n && hex_value(p[i]) >= 0)
		i++;
	if (i == 1 || i == n || p[i++] != '.' || i == n)
		return false;
	for (; i < n; i++)
		if (p[i] != ':' && !reg_name[(unsigned char)p[i]])
			return false;
	return true;
}

/* Of a valid uri-host at the beginning, 0: there is none. */
static size_t
host_length(struct str s)
{
	const char *end;
	size_t n;

	if (s.n == 0 || s.p[0] != '[')
		return reg_name_length(s.p, s.n);
	end = memchr(s.p, ']', s.n);
	if (end == NULL)
		return 0;
	n = (size_t)(end - s.p) - 1;
	return ipv6_ok(s.p + 1, n) || ip_future_ok(s.p + 1, n) ? n + 2 : 0;
}

static bool
port_ok(const char *p, size_t n)
{
	unsigned port = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		port = port * 10 + (unsigned)(p[i] - '0');
		if (port > 65535)
			return false;
	}
	return true;
}

bool
uri_authority_ok(struct str s)
{
	size_t n = host_length(s);

	if (n == 0)
		return false;
	return n == s.n || (s.p[n] == ':' && port_ok(s.p + n + 1, s.n - n - 1));
}

bool
uri_authority_has_port(struct str s)
{
	size_t n;

	if (!uri_authority_ok(s))
		return false;
	n = host_length(s);
	return n + 1 < s.n;
}
