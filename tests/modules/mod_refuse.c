/*
 * refuse: says no when it is loaded.
 *
 *   option.at = open | check | init   where (default: open)
 *   option.why = TEXT                 the reason; "" gives none
 */
#include "tests/modules/exchange.h"

static int
refuse(const pf_host *host, pf_app *app, const char *here)
{
	const char *why = host->option(app, "why", "as it was told to");

	if (strcmp(host->option(app, "at", "open"), here) != 0)
		return 0;
	if (why[0] != '\0')
		host->fail(app, "%s", why);
	return -1;
}

static int
refuse_check(const pf_host *host, pf_app *app)
{
	return refuse(host, app, "check");
}

static int
refuse_init(const pf_host *host, pf_app *first, void **module)
{
	*module = NULL;
	return refuse(host, first, "init");
}

static int
refuse_open(const pf_host *host, pf_app *app, void *module, void **out)
{
	(void)module;
	*out = NULL;
	return refuse(host, app, "open");
}

/* Never reached: a module that refused gets no request, so that the missing
 * done() would show. */
static void
refuse_request(void *app, pf_request *req, void *thread)
{
	(void)app;
	(void)req;
	(void)thread;
	abort();
}

PREFORK_MODULE(.name = "refuse", .version = "1", .check = refuse_check,
    .worker_init = refuse_init, .open = refuse_open,
    .on_request = refuse_request);
