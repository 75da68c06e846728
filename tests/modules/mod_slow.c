/*
 * slow: a handler that blocks, or computes, in on_request.
 *
 *   ?ms=N        sleeps N ms before it answers "slow"
 *   ?spin_us=N   computes for N us instead
 *
 *   option.ms = N   sleeps N ms when the query says nothing
 */
#include "tests/modules/exchange.h"

struct slow {
	const pf_host *host;
	long ms;
};

static int
slow_open(const pf_host *host, pf_app *app, void *module, void **out)
{
	struct slow *s = malloc(sizeof *s);

	(void)module;
	if (s == NULL) {
		host->fail(app, "out of memory");
		return -1;
	}
	s->host = host;
	s->ms = strtol(host->option(app, "ms", "0"), NULL, 10);
	*out = s;
	return 0;
}

static void
slow_close(void *app)
{
	free(app);
}

/* Of this thread's own processor time, so that others do not shorten it. */
static void
spin_us(long us)
{
	struct timespec from, now;
	long passed_us;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	do {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
		passed_us = (now.tv_sec - from.tv_sec) * 1000000 +
		    (now.tv_nsec - from.tv_nsec) / 1000;
	} while (passed_us < us);
}

static void
slow_request(void *app, pf_request *req, void *thread)
{
	const struct slow *s = app;
	const pf_info *in = s->host->info(req);
	long us = query_number(in, "spin_us", 0);

	(void)thread;
	if (us > 0)
		spin_us(us);
	else
		sleep_ms(query_number(in, "ms", s->ms));
	reply(s->host, req, 200, "slow");
}

PREFORK_MODULE(.name = "slow", .version = "1", .open = slow_open,
    .on_request = slow_request, .close = slow_close);
