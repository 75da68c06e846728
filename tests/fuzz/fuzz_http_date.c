/* Any bytes as a date; what is one is written and read back unchanged.  The
 * first eight bytes are also a time by themselves. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "worker/http/http_date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static time_t
round_trip(time_t t)
{
	char text[HTTP_DATE_LENGTH];
	time_t back = 0;

	http_date_format(t, text);
	pf_assert(http_date_parse((struct str){ text, sizeof text }, 0, &back));
	return back;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(n ? n : 1);
	int64_t number = 0;
	time_t t = 0;

	pf_assert(text != NULL);
	memcpy(text, data, n);
	memcpy(&number, data, n < sizeof number ? n : sizeof number);
	if (http_date_parse((struct str){ text, n }, number % 100000000000, &t))
		/* a leap second may end the year 9999 */
		pf_assert(round_trip(t) == t || t == INT64_C(253402300800));
	t = round_trip(number);
	pf_assert(round_trip(t) == t);
	t = round_trip(number % 100000000000);
	pf_assert(t == number % 100000000000 || number < 0);
	free(text);
	return 0;
}
