/*
 * bigbody: reads the whole body, by pread() if it was spooled to a file, and
 * answers "LENGTH ADLER32 WHERE", WHERE being file or memory.
 *
 *   ?read    never from the file: by read(), which must see the same
 *   ?bytes=N at most N at a time (default 4096)
 *
 * An error of the body: 400 "result R after N".
 */
#include <stdbool.h>
#include <unistd.h>

#include "tests/modules/exchange.h"

#define BYTES_MAX 65536

static const pf_host *host;

/* RFC 1950 8.2; Python's zlib.adler32. */
struct sum {
	uint32_t a, b;
	int64_t n;
};

static int
bigbody_init(const pf_host *h, pf_app *first, void **module)
{
	(void)first;
	*module = NULL;
	host = h;
	return 0;
}

static void
sum_add(struct sum *s, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		s->a = (s->a + (unsigned char)p[i]) % 65521;
		s->b = (s->b + s->a) % 65521;
	}
	s->n += (int64_t)n;
}

static int
sum_memory(pf_request *req, struct sum *s, size_t step)
{
	char buf[BYTES_MAX];
	int result = PF_OK;

	while (result == PF_OK) {
		size_t n = host->read(req, buf, step, &result);

		sum_add(s, buf, n);
		if (result == PF_AGAIN)
			result = host->wait_readable(req, -1);
	}
	return result;
}

static int
sum_file(int fd, int64_t length, struct sum *s, size_t step)
{
	char buf[BYTES_MAX];

	while (s->n < length) {
		ssize_t n = pread(fd, buf, step, s->n);

		if (n <= 0)
			return PF_EPROTO;
		sum_add(s, buf, (size_t)n);
	}
	return PF_EOF;
}

/* Of what went wrong with a body. */
static unsigned
status_of(int result)
{
	switch (result) {
	case PF_EPROTO: return 400;
	case PF_ETIMEOUT: return 408;
	case PF_ETOOBIG: return 413;
	case PF_ETRAILERS: return 431;
	default: return 500;
	}
}

static void
bigbody_request(void *app, pf_request *req, void *thread)
{
	const pf_info *in = host->info(req);
	long step = query_number(in, "bytes", 4096);
	struct sum s = { .a = 1 };
	int64_t length = 0;
	int fd = PF_ENOSYS, result;

	(void)app;
	(void)thread;
	if (step < 1 || step > BYTES_MAX)
		step = BYTES_MAX;
	if (query_number(in, "read", 0) == 0)
		fd = host->body_fd(req, &length);
	result = fd >= 0 ? sum_file(fd, length, &s, (size_t)step) :
			   sum_memory(req, &s, (size_t)step);
	if (result == PF_EOF)
		reply(host, req, 200, "%lld %u %s", (long long)s.n,
		    s.b << 16 | s.a, fd >= 0 ? "file" : "memory");
	else
		reply(host, req, status_of(result), "result %d after %lld",
		    result, (long long)s.n);
}

PREFORK_MODULE(.name = "bigbody", .version = "1", .worker_init = bigbody_init,
    .on_request = bigbody_request);
