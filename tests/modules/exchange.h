/* What the test modules share: reading the query, answering with text. */
#ifndef TESTS_MODULES_EXCHANGE_H
#define TESTS_MODULES_EXCHANGE_H

#include <errno.h>
#include <prefork/module.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLICE(literal)                                                         \
	{                                                                      \
		"" literal, sizeof(literal) - 1                                \
	}

/* The value of key in "key=value&word&...": dflt if it is not there, 1 for a
 * word without a value. */
static inline long
query_number(const pf_info *in, const char *key, long dflt)
{
	const char *at = in->query.p, *end = at + in->query.n;
	size_t n = strlen(key);

	while (at < end) {
		const char *next = memchr(at, '&', (size_t)(end - at));
		size_t length = (size_t)((next != NULL ? next : end) - at);

		if (length >= n && memcmp(at, key, n) == 0) {
			/* what follows is '&', a space or a letter: strtol()
			 * stops in the request's own memory */
			if (length > n + 1 && at[n] == '=')
				return strtol(at + n + 1, NULL, 10);
			if (length == n)
				return 1;
		}
		at += length + 1;
	}
	return dflt;
}

static inline void
sleep_ms(long ms)
{
	struct timespec left = { .tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		continue;
}

/* A short text, and done(). */
__attribute__((format(printf, 4, 5))) static inline void
reply(const pf_host *host, pf_request *req, unsigned status, const char *fmt,
    ...)
{
	static const pf_header type = { .name = SLICE("Content-Type"),
		.value = SLICE("text/plain") };
	char text[1024];
	pf_buf buf = { .p = text };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	buf.n = strlen(text);
	if (host->respond(req, status, &type, 1, &buf, 1) < 0)
		host->done(req);
}

#endif
