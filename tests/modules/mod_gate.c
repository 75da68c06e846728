/*
 * gate: handlers that block until the test lets them go on.
 *
 *   option.fifo = PATH   a named pipe: each byte written to it lets one handler
 *                        through
 *
 *   /        logs "inside N" (N: handlers in the gate), waits for its byte,
 *            answers "through"
 *   ?stream  sends its head and "begun" before it waits; then logs
 *            "write CODE" of the next write
 *   ?much    as ?stream, with 16 MiB before it waits
 *   ?read    waits for the body (stream = yes) instead of a byte; then logs
 *            "read CODE"
 *   ?read=2  waits for its byte first
 *   ?alive   waits until its client is gone; then logs "gone"
 *   ?now     does not wait: "THREAD MOST", its thread's ID and the most
 *            handlers that were inside at once
 *
 * The log also has "out N" for each handler that came through, "thread ends"
 * for each of its threads, and "close" when the app ends.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/modules/exchange.h"

static const pf_host *host;
static pf_app *first_app;
static int fifo = -1;
static atomic_uint inside, most;

static int
gate_open(const pf_host *h, pf_app *app, void *module, void **out)
{
	const char *path = h->option(app, "fifo", "");

	(void)module;
	*out = NULL;
	host = h;
	first_app = app;
	/* both ends: it never says end of file */
	fifo = open(path, O_RDWR | O_CLOEXEC);
	if (fifo >= 0)
		return 0;
	h->fail(app, "option.fifo: %s: %s", path, strerrordesc_np(errno));
	return -1;
}

static void
gate_close(void *app)
{
	(void)app;
	host->log(first_app, PF_LOG_INFO, "close");
	(void)close(fifo);
}

static void
wait_for_byte(void)
{
	char c;

	while (read(fifo, &c, 1) < 0 && errno == EINTR)
		continue;
}

static void
wait_inside(void)
{
	unsigned n = 1 + atomic_fetch_add(&inside, 1);
	unsigned was = atomic_load(&most);

	while (was < n && !atomic_compare_exchange_weak(&most, &was, n))
		continue;
	host->log(first_app, PF_LOG_INFO, "inside %u", n);
	wait_for_byte();
	n = atomic_fetch_sub(&inside, 1) - 1;
	host->log(first_app, PF_LOG_INFO, "out %u", n);
}

static int
write_text(pf_request *req, const char *text)
{
	pf_buf buf = { .p = text, .n = strlen(text) };

	return host->write(req, &buf, 1, 0);
}

static void
stream(pf_request *req, const char *text)
{
	(void)host->start(req, 200, (pf_str){ 0 }, NULL, 0, -1);
	(void)write_text(req, text);
	wait_inside();
	host->log(first_app, PF_LOG_INFO, "write %d", write_text(req, "ended"));
	(void)host->end(req);
	host->done(req);
}

/* A text of 16 MiB. */
static const char *
much(void)
{
	static char text[(16 << 20) + 1];

	memset(text, 'x', sizeof text - 1);
	return text;
}

static void
read_all(pf_request *req)
{
	char buf[4096];
	int result = PF_OK;

	while (result == PF_OK) {
		(void)host->read(req, buf, sizeof buf, &result);
		if (result == PF_AGAIN)
			result = host->wait_readable(req, -1);
	}
	host->log(first_app, PF_LOG_INFO, "read %d", result);
	reply(host, req, 200, "read %d", result);
}

static void
wait_until_gone(pf_request *req)
{
	host->log(first_app, PF_LOG_INFO, "inside %u", 1u);
	while (host->alive(req)) /* there is no event: a module asks */
		(void)usleep(1000);
	host->log(first_app, PF_LOG_INFO, "gone");
	reply(host, req, 200, "gone");
}

static void
gate_request(void *app, pf_request *req, void *thread)
{
	const pf_info *in = host->info(req);

	(void)app;
	(void)thread;
	if (query_number(in, "now", 0) != 0) {
		reply(host, req, 200, "%ld %u", syscall(SYS_gettid),
		    atomic_load(&most));
	} else if (query_number(in, "stream", 0) != 0) {
		stream(req, "begun");
	} else if (query_number(in, "much", 0) != 0) {
		stream(req, much());
	} else if (query_number(in, "alive", 0) != 0) {
		wait_until_gone(req);
	} else if (query_number(in, "read", 0) == 2) {
		wait_inside();
		read_all(req);
	} else if (query_number(in, "read", 0) != 0) {
		host->log(first_app, PF_LOG_INFO, "inside %u", 1u);
		read_all(req);
	} else {
		wait_inside();
		reply(host, req, 200, "through");
	}
}

static void
gate_thread_fini(void *module, void *thread)
{
	(void)module;
	(void)thread;
	host->log(first_app, PF_LOG_INFO, "thread ends");
}

PREFORK_MODULE(.name = "gate", .version = "1", .open = gate_open,
    .on_request = gate_request, .thread_fini = gate_thread_fini,
    .close = gate_close);
