/* A handler that blocks: answers after option.ms milliseconds. */
#include <prefork/module.h>
#include <stdlib.h>
#include <time.h>

static const pf_host *host;

static int
sleep_open(const pf_host *h, pf_app *app, void *module, void **out)
{
	struct timespec *nap = calloc(1, sizeof *nap);
	long ms = strtol(h->option(app, "ms", "50"), NULL, 10);

	(void)module;
	if (nap == NULL)
		return 1;
	host = h;
	nap->tv_sec = ms / 1000;
	nap->tv_nsec = ms % 1000 * 1000000;
	*out = nap;
	return 0;
}

static void
sleep_request(void *app, pf_request *r, void *thread)
{
	const pf_buf body = { .p = "slept", .n = 5 };

	(void)thread;
	nanosleep(app, NULL);
	if (host->respond(r, 200, NULL, 0, &body, 1) < 0)
		host->done(r);
}

static void
sleep_close(void *app)
{
	free(app);
}

PREFORK_MODULE(.name = "sleep", .version = "1", .open = sleep_open,
    .on_request = sleep_request, .close = sleep_close);
