/*
 * fast: answers at once, and counts the life of its threads.
 *
 *   /          "fast"
 *   ?stats     "inits=N finis=N": calls of thread_init and thread_fini
 *   ?thread    "NUMBER": which thread_init prepared the thread that answers
 *
 *   option.thread_init = fail   every thread_init refuses (500)
 *
 * close() logs "threads: inits=N finis=N", so that a test can compare them when
 * the worker has ended.
 */
#include <stdatomic.h>
#include <stdbool.h>

#include "tests/modules/exchange.h"

struct fast {
	const pf_host *host;
	pf_app *first;
	bool refuses;
	atomic_uint inits, finis;
};

struct thread {
	unsigned number;
};

static int
fast_init(const pf_host *host, pf_app *first, void **module)
{
	struct fast *f = calloc(1, sizeof *f);

	if (f == NULL) {
		host->fail(first, "out of memory");
		return -1;
	}
	f->host = host;
	f->first = first;
	f->refuses =
	    strcmp(host->option(first, "thread_init", "works"), "fail") == 0;
	*module = f;
	return 0;
}

static int
fast_open(const pf_host *host, pf_app *app, void *module, void **out)
{
	(void)host;
	(void)app;
	*out = module;
	return 0;
}

static int
fast_thread_init(void *module, void **thread)
{
	struct fast *f = module;
	struct thread *t;

	if (f->refuses)
		return -1;
	t = malloc(sizeof *t);
	if (t == NULL)
		return -1;
	t->number = 1 + atomic_fetch_add(&f->inits, 1);
	*thread = t;
	return 0;
}

static void
fast_thread_fini(void *module, void *thread)
{
	struct fast *f = module;

	atomic_fetch_add(&f->finis, 1);
	free(thread);
}

static void
fast_request(void *app, pf_request *req, void *thread)
{
	struct fast *f = app;
	const struct thread *t = thread;
	const pf_info *in = f->host->info(req);

	if (query_number(in, "stats", 0) != 0)
		reply(f->host, req, 200, "inits=%u finis=%u",
		    atomic_load(&f->inits), atomic_load(&f->finis));
	else if (query_number(in, "thread", 0) != 0)
		reply(f->host, req, 200, "%u", t->number);
	else
		reply(f->host, req, 200, "fast");
}

/* Called for each app; the numbers are the module's. */
static void
fast_close(void *app)
{
	struct fast *f = app;

	f->host->log(f->first, PF_LOG_INFO, "threads: inits=%u finis=%u",
	    atomic_load(&f->inits), atomic_load(&f->finis));
}

static void
fast_fini(void *module)
{
	free(module);
}

PREFORK_MODULE(.name = "fast", .version = "1", .worker_init = fast_init,
    .open = fast_open, .thread_init = fast_thread_init,
    .on_request = fast_request, .thread_fini = fast_thread_fini,
    .close = fast_close, .worker_fini = fast_fini);
