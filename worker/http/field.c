#include "worker/http/field.h"

#include <assert.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <prefork/module.h>

#define EACH_BYTE 0x0101010101010101u /* times b: b in each byte of a word */
#define LONGEST   24                  /* of the names that have a number */

const unsigned char field_tchar[256] = {
	['!'] = 1,
	['#' ... '\''] = 1,
	['*'] = 1,
	['+'] = 1,
	['-'] = 1,
	['.'] = 1,
	['0' ... '9'] = 1,
	['A' ... 'Z'] = 1,
	['^' ... 'z'] = 1,
	['|'] = 1,
	['~'] = 1,
};

const unsigned char field_vchar[256] = {
	['\t'] = 1,
	[' ' ... '~'] = 1,
	[0x80 ... 0xff] = 1,
};

bool
field_name_ok(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!field_tchar[(unsigned char)name.p[i]])
			return false;
	return name.n > 0;
}

#ifdef __SSE2__
/* Are 16 bytes all field_vchar? */
static bool
vchar_16(const char *p)
{
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
	__m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
	__m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));

	return _mm_movemask_epi8(
		   _mm_or_si128(_mm_andnot_si128(tab, low), del)) == 0;
}
#endif

bool
field_value_ok(struct str value)
{
	size_t i = 0;

#ifdef __SSE2__
	for (; i + 16 <= value.n; i += 16)
		if (!vchar_16(value.p + i))
			return false;
#endif
	for (; i < value.n; i++)
		if (!field_vchar[(unsigned char)value.p[i]])
			return false;
	return true;
}

/* All of p[0..n), n <= 8, in a word: equal words for equal bytes.  Overlapping
 * loads, because a copy of n bytes goes through memory. */
__attribute__((always_inline)) static inline uint64_t
word(const char *p, size_t n)
{
	uint64_t w = 0;
	uint32_t a, b;
	uint16_t c, d;

	if (n == 8) {
		memcpy(&w, p, 8);
		return w;
	}
	if (n >= 4) {
		memcpy(&a, p, 4);
		memcpy(&b, p + n - 4, 4);
		return (uint64_t)b << 32 | a;
	}
	if (n >= 2) {
		memcpy(&c, p, 2);
		memcpy(&d, p + n - 2, 2);
		return (uint64_t)d << 32 | c;
	}
	return n == 1 ? (unsigned char)p[0] : 0;
}

/* 0x20, the bit of the case, in each byte that is an ASCII letter. */
static inline uint64_t
case_bits(uint64_t w)
{
	uint64_t lower = w | EACH_BYTE * 0x20;
	uint64_t seven = lower & EACH_BYTE * 0x7f;
	uint64_t from_a = seven + EACH_BYTE * (0x80 - 'a');
	uint64_t beyond_z = seven + EACH_BYTE * (0x7f - 'z');

	return ((from_a & ~beyond_z & ~lower) >> 2) & EACH_BYTE * 0x20;
}

bool
field_name_eq(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i += 8) {
		size_t n = a.n - i < 8 ? a.n - i : 8;
		uint64_t x = word(a.p + i, n), y = word(b.p + i, n);

		if (((x ^ y) & ~(case_bits(x) & case_bits(y))) != 0)
			return false;
	}
	return true;
}

/* n modulo the prime 2^31 - 1. */
static inline uint32_t
modulo(uint64_t n)
{
	n = (n & 0x7fffffff) + (n >> 31);
	n = (n & 0x7fffffff) + (n >> 31);
	return (uint32_t)(n == 0x7fffffff ? 0 : n);
}

/* A polynomial at `seed`, its coefficients being what the name has in each four
 * bytes: two of degree d agree at d seeds at most.  A token has no byte over
 * 0x7f, so that each is less than the prime. */
uint32_t
field_hash(struct str name, uint32_t seed)
{
	uint64_t hash = name.n;

	for (size_t i = 0; i < name.n; i += 4) {
		size_t n = name.n - i < 4 ? name.n - i : 4;
		uint64_t w = 0;

		for (size_t k = 0; k < n; k++)
			w = w << 8 | (unsigned char)name.p[i + k];
		hash = modulo(hash * seed + (w | case_bits(w)));
	}
	return (uint32_t)hash;
}

/* 1 if p[0..n) is `name`, which is lower case.  Inlined with n and name
 * constant, so that it becomes a load, an OR and a comparison per word. */
__attribute__((always_inline)) static inline unsigned
matches(const char *p, size_t n, const char *name, size_t name_n)
{
	if (n != name_n)
		return 0;
	for (size_t i = 0; i < n; i += 8) {
		size_t k = n - i < 8 ? n - i : 8;
		uint64_t want = word(name + i, k);

		if ((word(p + i, k) | case_bits(want)) != want)
			return 0;
	}
	return 1;
}

/* Among the names of n bytes, n being constant. */
__attribute__((always_inline)) static inline uint16_t
id_among(const char *p, size_t n)
{
	unsigned id = PF_H_OTHER;

#define PF_HEADER(identifier, name)                                            \
	static_assert(sizeof(name) - 1 <= LONGEST, "raise LONGEST");           \
	id += PF_H_##identifier * matches(p, n, name, sizeof(name) - 1);
#include <prefork/headers.def>
#undef PF_HEADER
	return (uint16_t)id;
}

uint16_t
field_id(struct str name)
{
	switch (name.n) {
#define LENGTH(n)                                                              \
	case n:                                                                \
		return id_among(name.p, n);
#define LENGTHS(n) LENGTH(n) LENGTH((n) + 1) LENGTH((n) + 2) LENGTH((n) + 3)
		LENGTHS(1)
		LENGTHS(5)
		LENGTHS(9)
		LENGTHS(13)
		LENGTHS(17)
		LENGTHS(21)
#undef LENGTHS
#undef LENGTH
	default: return PF_H_OTHER;
	}
}

bool
field_is_forwarding(uint16_t id, struct str name)
{
	static const struct str prefix = { "x-forwarded-", 12 };

	if (id != PF_H_OTHER)
		return id == PF_H_FORWARDED || id == PF_H_X_FORWARDED_FOR ||
		    id == PF_H_X_FORWARDED_PROTO ||
		    id == PF_H_X_FORWARDED_HOST || id == PF_H_X_REQUEST_ID;
	if (name.n < prefix.n)
		return field_name_eq(name, STR("x-real-ip"));
	return field_name_eq((struct str){ name.p, prefix.n }, prefix);
}

struct str
field_trim(struct str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

bool
field_has_token(struct str value, struct str token)
{
	while (value.n > 0) {
		const char *comma = memchr(value.p, ',', value.n);
		size_t n = comma ? (size_t)(comma - value.p) : value.n;

		struct str member = field_trim((struct str){ value.p, n });

		if (field_name_eq(member, token))
			return true;
		n += comma != NULL;
		value.p += n;
		value.n -= n;
	}
	return false;
}
