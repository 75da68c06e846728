/*
 * crash: every way to die, or to never come back.
 *
 *   ?segv    writes where it must not
 *   ?abort   abort()
 *   ?exit    exit(3)
 *   ?hang    sleeps for ever, in on_request
 *   ?spin    computes for ever
 *   other    "alive"
 *
 *   option.at = load | check   does it in open() or check() instead;
 *   option.how = segv          and which of the above
 */
#include <sys/mman.h>
#include <unistd.h>

#include "tests/modules/exchange.h"

static const pf_host *host;

/* A fault of the processor, as from a wild pointer. */
static void
die_of_segv(void)
{
	volatile char *p =
	    mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*p = 1;
}

static void
die_of_exit(void)
{
	exit(3); /* NOLINT(concurrency-mt-unsafe): that is the test */
}

static void
hang(void)
{
	for (;;)
		pause();
}

static void
spin(void)
{
	for (volatile unsigned n = 0;; n = n + 1)
		continue;
}

static const struct death {
	const char *name;
	void (*die)(void);
} deaths[] = {
	{ "segv", die_of_segv },
	{ "abort", abort },
	{ "exit", die_of_exit },
	{ "hang", hang },
	{ "spin", spin },
};

#define N_DEATHS (sizeof deaths / sizeof deaths[0])

static void
crash_at(const pf_host *h, pf_app *app, const char *here)
{
	const char *how = h->option(app, "how", "segv");

	if (strcmp(h->option(app, "at", ""), here) != 0)
		return;
	for (size_t i = 0; i < N_DEATHS; i++)
		if (strcmp(deaths[i].name, how) == 0)
			deaths[i].die();
}

static int
crash_check(const pf_host *h, pf_app *app)
{
	crash_at(h, app, "check");
	return 0;
}

static int
crash_open(const pf_host *h, pf_app *app, void *module, void **out)
{
	(void)module;
	*out = NULL;
	host = h;
	crash_at(h, app, "load");
	return 0;
}

static void
crash_request(void *app, pf_request *req, void *thread)
{
	const pf_info *in = host->info(req);

	(void)app;
	(void)thread;
	for (size_t i = 0; i < N_DEATHS; i++)
		if (query_number(in, deaths[i].name, 0) != 0)
			deaths[i].die();
	reply(host, req, 200, "alive");
}

PREFORK_MODULE(.name = "crash", .version = "1", .check = crash_check,
    .open = crash_open, .on_request = crash_request);
