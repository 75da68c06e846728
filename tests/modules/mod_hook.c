/*
 * hook: whoever loads it too, in the same process, says what a request does.
 * For tests that run a worker in a thread (tests/unit/worker_thread.c).
 */
#include <stdatomic.h>

#include "tests/modules/exchange.h"

typedef void hook_fn(const pf_host *, pf_request *);

__attribute__((visibility("default"))) void hook_set(hook_fn *);

static const pf_host *host;
static _Atomic(hook_fn *) hook;

void
hook_set(hook_fn *fn)
{
	atomic_store(&hook, fn);
}

static int
hook_init(const pf_host *h, pf_app *first, void **module)
{
	if (atomic_load(&hook) == NULL) {
		h->fail(first, "hook_set() was not called");
		return -1;
	}
	*module = NULL;
	host = h;
	return 0;
}

static void
hook_request(void *app, pf_request *req, void *thread)
{
	(void)app;
	(void)thread;
	atomic_load (&hook)(host, req);
}

PREFORK_MODULE(.name = "hook", .version = "1", .worker_init = hook_init,
    .on_request = hook_request);
