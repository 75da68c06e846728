/*
 * stream: a response of unknown length in blocks, with backpressure.
 *
 *   ?n=N&bytes=B   N blocks of B bytes (default 10 of 1000); the i-th is all
 *                  'a' + i % 26
 *   &early         first block before a byte of the request's body is read,
 *                  then the body, then the other blocks
 *   &copy          the blocks are copied; else they are handed over with a
 *                  release function
 *   &length        announced as Content-Length
 *   &flag          the last block has PF_END; else end() follows
 *   ?stats         "made=N released=N again=N": blocks handed over, release
 *                  calls, and PF_AGAINs
 */
#include <stdatomic.h>
#include <stdbool.h>

#include "tests/modules/exchange.h"

static const pf_host *host;
static atomic_ulong made, released, again;

struct stream {
	pf_request *req;
	long n, bytes;
	bool copy, flag;
};

static int
stream_init(const pf_host *h, pf_app *first, void **module)
{
	(void)first;
	*module = NULL;
	host = h;
	return 0;
}

/* Any thread.  A second call for one block is a double free: ASan's. */
static void
block_release(void *block)
{
	atomic_fetch_add(&released, 1);
	free(block);
}

static int
block_send(const struct stream *s, long i)
{
	char *block = malloc((size_t)s->bytes + 1);
	pf_buf buf = { .p = block, .n = (size_t)s->bytes };
	unsigned flags = s->flag && i == s->n - 1 ? PF_END : 0;
	int result;

	if (block == NULL)
		return PF_ENOMEM;
	memset(block, 'a' + (int)(i % 26), (size_t)s->bytes);
	if (!s->copy) {
		buf.release = block_release;
		buf.ud = block;
		atomic_fetch_add(&made, 1);
	}
	result = host->write(s->req, &buf, 1, flags);
	if (s->copy)
		free(block);
	if (result == PF_AGAIN) {
		atomic_fetch_add(&again, 1);
		result = host->wait_writable(s->req, -1);
	}
	return result;
}

/* What is left of the body, in memory that is too small for it. */
static int
body_drain(pf_request *req)
{
	char buf[512];
	int result = PF_OK;

	while (result == PF_OK) {
		(void)host->read(req, buf, sizeof buf, &result);
		if (result == PF_AGAIN)
			result = host->wait_readable(req, -1);
	}
	return result == PF_EOF ? PF_OK : result;
}

static int
stream_send(const struct stream *s, bool early)
{
	int result = early ? PF_OK : body_drain(s->req);

	for (long i = 0; i < s->n && result >= 0; i++) {
		result = block_send(s, i);
		if (i == 0 && early && result >= 0 && s->n > 1)
			result = body_drain(s->req);
	}
	if (result >= 0 && (!s->flag || s->n == 0))
		result = host->end(s->req);
	return result;
}

static void
stream_request(void *app, pf_request *req, void *thread)
{
	const pf_info *in = host->info(req);
	struct stream s = {
		.req = req,
		.n = query_number(in, "n", 10),
		.bytes = query_number(in, "bytes", 1000),
		.copy = query_number(in, "copy", 0) != 0,
		.flag = query_number(in, "flag", 0) != 0,
	};
	bool known = query_number(in, "length", 0) != 0;
	int result;

	(void)app;
	(void)thread;
	if (query_number(in, "stats", 0) != 0) {
		reply(host, req, 200, "made=%lu released=%lu again=%lu",
		    atomic_load(&made), atomic_load(&released),
		    atomic_load(&again));
		return;
	}
	result = host->start(req, 200, (pf_str){ 0 }, NULL, 0,
	    known ? (int64_t)s.n * s.bytes : -1);
	if (result >= 0)
		result = stream_send(&s, query_number(in, "early", 0) != 0);
	if (result < 0 && result != PF_ECLOSED)
		host->abort(req);
	host->done(req);
}

PREFORK_MODULE(.name = "stream", .version = "1", .worker_init = stream_init,
    .on_request = stream_request);
