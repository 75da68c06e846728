/*
 * later: on_request returns at once; the answer comes from a thread of the
 * module's own, which works off a queue.
 *
 *   /        "later"
 *   ?ms=N    after N ms
 *   ?body    the number of bytes of the body, read in that thread, which waits
 *            for them (stream = yes)
 */
#include <pthread.h>
#include <stdbool.h>

#include "tests/modules/exchange.h"

struct job {
	struct job *next;
	pf_request *req;
};

struct later {
	const pf_host *host;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	struct job *first, **tail;
	bool stopping;
};

/* The oldest job; NULL: the worker ends. */
static struct job *
job_take(struct later *l)
{
	struct job *j;

	pthread_mutex_lock(&l->lock);
	while (l->first == NULL && !l->stopping)
		pthread_cond_wait(&l->changed, &l->lock);
	j = l->first;
	if (j != NULL) {
		l->first = j->next;
		if (l->first == NULL)
			l->tail = &l->first;
	}
	pthread_mutex_unlock(&l->lock);
	return j;
}

static void
count_body(const pf_host *host, pf_request *req)
{
	char buf[4096];
	size_t n = 0;
	int result = PF_OK;

	while (result == PF_OK) {
		n += host->read(req, buf, sizeof buf, &result);
		if (result == PF_AGAIN)
			result = host->wait_readable(req, -1);
	}
	if (result == PF_EOF)
		reply(host, req, 200, "%zu", n);
	else
		reply(host, req, 400, "result %d after %zu", result, n);
}

static void
job_run(const pf_host *host, struct job *j)
{
	const pf_info *in = host->info(j->req);

	sleep_ms(query_number(in, "ms", 0));
	if (query_number(in, "body", 0) != 0)
		count_body(host, j->req);
	else
		reply(host, j->req, 200, "later");
	free(j);
}

static void *
later_thread(void *arg)
{
	struct later *l = arg;
	struct job *j;

	while ((j = job_take(l)) != NULL)
		job_run(l->host, j);
	return NULL;
}

static int
later_init(const pf_host *host, pf_app *first, void **module)
{
	struct later *l = calloc(1, sizeof *l);

	if (l == NULL) {
		host->fail(first, "out of memory");
		return -1;
	}
	l->host = host;
	l->tail = &l->first;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->changed, NULL);
	if (pthread_create(&l->thread, NULL, later_thread, l) != 0) {
		host->fail(first, "no thread");
		free(l);
		return -1;
	}
	*module = l;
	return 0;
}

static int
later_open(const pf_host *host, pf_app *app, void *module, void **out)
{
	(void)host;
	(void)app;
	*out = module;
	return 0;
}

static void
later_request(void *app, pf_request *req, void *thread)
{
	struct later *l = app;
	struct job *j = malloc(sizeof *j);

	(void)thread;
	if (j == NULL) {
		l->host->done(req);
		return;
	}
	*j = (struct job){ .req = req };
	pthread_mutex_lock(&l->lock);
	*l->tail = j;
	l->tail = &j->next;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

static void
later_fini(void *module)
{
	struct later *l = module;

	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

PREFORK_MODULE(.name = "later", .version = "1", .worker_init = later_init,
    .open = later_open, .on_request = later_request, .worker_fini = later_fini);
