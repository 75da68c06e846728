/* Any bytes as a path and as an authority. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "worker/http/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static size_t
count(const char *p, size_t n, char c)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += p[i] == c;
	return found;
}

static void
check_decode(char *raw, size_t n, char *out)
{
	size_t escapes = count(raw, n, '%'), made = 0, again = 0;

	if (!uri_decode((struct str){ raw, n }, out, &made))
		return;
	pf_assert(made + 2 * escapes == n);
	pf_assert(count(out, made, '\0') == count(raw, n, '\0'));
	pf_assert(uri_decode((struct str){ raw, n }, raw, &again));
	pf_assert(again == made && memcmp(raw, out, made) == 0);
}

static void
check_authority(struct str s)
{
	if (!uri_authority_ok(s)) {
		pf_assert(!uri_authority_has_port(s));
		return;
	}
	pf_assert(s.n > 0);
	for (size_t i = 0; i < s.n; i++)
		pf_assert(s.p[i] > ' ' && s.p[i] != 0x7f &&
		    strchr("@/?#\\\"<>", s.p[i]) == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *raw = malloc(n ? n : 1), *out = malloc(n ? n : 1);

	pf_assert(raw != NULL && out != NULL);
	memcpy(raw, data, n);
	check_authority((struct str){ raw, n });
	check_decode(raw, n, out);
	free(raw);
	free(out);
	return 0;
}
