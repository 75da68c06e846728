/* HTTP dates, RFC 9110 5.6.7.  Pure. */
#ifndef WORKER_HTTP_HTTP_DATE_H
#define WORKER_HTTP_HTTP_DATE_H

#include <stdbool.h>
#include <time.h>

#include "worker/str.h"

#define HTTP_DATE_LENGTH 29 /* Sun, 06 Nov 1994 08:49:37 GMT */

/* Writes exactly HTTP_DATE_LENGTH bytes, no NUL.  Years 0 to 9999. */
void http_date_format(time_t, char out[HTTP_DATE_LENGTH]);

/* All three formats; two-digit years are taken relative to `now` as the RFC
 * says.  false: not a date. */
bool http_date_parse(struct str, time_t now, time_t *out);

#endif
