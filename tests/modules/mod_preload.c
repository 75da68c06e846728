/*
 * preload: tells where it was loaded and what became of it since.
 *
 *   any path       "PID OPENED-BY BEFORE AFTER-PARENT AFTER-CHILD": the process
 *                  that answers, the one that opened the app, and how often
 *                  each hook of a fork was called in this process or before it
 *
 *   option.threads = N     worker_init starts so many, named "lingerer"
 *   option.refuse = WHY    after_fork_child refuses with WHY
 *   option.segv = FILE     after_fork_child dies as long as there is FILE
 *   option.stop = FILE     before_fork says so and waits for ever if there is
 *                          FILE
 *   option.orphan = FILE   a child that forked dies at once, and so does FILE,
 * if there is one
 */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "tests/modules/exchange.h"

static const pf_host *host;
static pf_app *first_app;
static pid_t opened_by;
static unsigned before, after_parent, after_child;

static void *
linger(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static int exists(const char *option);

/* In whoever forked, before fork() returns. */
static void
on_forked(void)
{
	if (getpid() == opened_by || !exists("orphan"))
		return;
	unlink(host->option(first_app, "orphan", NULL));
	kill(getpid(), SIGKILL);
}

static int
start(const pf_host *h, pf_app *first, void **module)
{
	long n = strtol(h->option(first, "threads", "0"), NULL, 10);
	pthread_t t;

	*module = NULL;
	host = h;
	first_app = first;
	pthread_atfork(NULL, on_forked, NULL);
	for (; n > 0; n--)
		if (pthread_create(&t, NULL, linger, NULL) != 0 ||
		    pthread_setname_np(t, "lingerer") != 0)
			return -1;
	return 0;
}

static int
open_app(const pf_host *h, pf_app *app, void *module, void **out)
{
	(void)h;
	(void)app;
	(void)module;
	*out = NULL;
	opened_by = getpid();
	return 0;
}

static int
exists(const char *option)
{
	const char *path = host->option(first_app, option, NULL);

	return path != NULL && access(path, F_OK) == 0;
}

static void
on_before_fork(void *module)
{
	(void)module;
	before++;
	if (!exists("stop"))
		return;
	host->log(first_app, PF_LOG_INFO, "stops at the fork");
	for (;;)
		pause();
}

static void
on_after_fork_parent(void *module)
{
	(void)module;
	after_parent++;
}

static int
on_after_fork_child(void *module)
{
	const char *why = host->option(first_app, "refuse", NULL);

	(void)module;
	after_child++;
	if (exists("segv"))
		raise(SIGSEGV);
	if (why == NULL)
		return 0;
	host->fail(first_app, "%s", why);
	return -1;
}

static void
on_request(void *app, pf_request *req, void *thread)
{
	(void)app;
	(void)thread;
	reply(host, req, 200, "%d %d %u %u %u", (int)getpid(), (int)opened_by,
	    before, after_parent, after_child);
}

PREFORK_MODULE(.name = "preload", .version = "1", .worker_init = start,
    .open = open_app, .on_request = on_request, .before_fork = on_before_fork,
    .after_fork_parent = on_after_fork_parent,
    .after_fork_child = on_after_fork_child);
