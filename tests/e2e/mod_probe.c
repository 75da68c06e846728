/*
 * The module the end-to-end tests look into a worker with.
 *
 *   option.refuse = WHY   check and open refuse with WHY
 *   option.open = FIFO    open waits for a byte from this named pipe
 *   option.gate = FIFO    /gate waits for a byte from this named pipe
 *
 *   /pid          the process ID of the worker that answers
 *   /ids          its real user and group IDs, "UID GID"
 *   /cwd          its working directory
 *   /env?NAME     the value of a variable of its environment
 *   /path         the decoded path
 *   /gate?SUFFIX  answers once the test has written to the named pipe, whose
 *                 name ends with SUFFIX; opening the pipe for writing tells the
 *                 test that the handler runs
 *   /info         scheme, host, client and its port, and where it arrived,
 *                 then the fields, a line each
 *   /many?N       N bytes, streamed in pieces of 64 KiB
 *   /say?TEXT     the process ID, a space, and TEXT
 *   /sleep?MS     the same after so many milliseconds
 *   /grow?MIB     the same once the worker is so much larger
 *   /fail         503
 *   /segv         dies
 */
#include <fcntl.h>
#include <prefork/module.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PIECE 65536

static const pf_host *host;

struct probe {
	const char *gate; /* path of the named pipe, or NULL */
};

static int
probe_check(const pf_host *h, pf_app *app)
{
	const char *why = h->option(app, "refuse", NULL);

	if (why == NULL)
		return 0;
	h->fail(app, "%s", why);
	return 1;
}

static bool
may_open(const char *fifo)
{
	char byte;
	int fd;
	bool may;

	if (fifo == NULL)
		return true;
	fd = open(fifo, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	may = read(fd, &byte, 1) == 1;
	close(fd);
	return may;
}

static int
probe_open(const pf_host *h, pf_app *app, void *module, void **out)
{
	struct probe *p;

	(void)module;
	host = h;
	if (probe_check(h, app) != 0)
		return 1;
	if (!may_open(h->option(app, "open", NULL)))
		return 1;
	p = calloc(1, sizeof *p);
	if (p == NULL)
		return 1;
	p->gate = h->option(app, "gate", NULL);
	*out = p;
	return 0;
}

static void
probe_close(void *app)
{
	free(app);
}

static void
answer(pf_request *r, unsigned status, const char *text, size_t n)
{
	const pf_header type = { .name = { "Content-Type", 12 },
		.value = { "text/plain", 10 } };
	const pf_buf body = { .p = text, .n = n };

	if (host->respond(r, status, &type, 1, &body, 1) < 0)
		host->done(r);
}

static void
answer_text(pf_request *r, const char *text)
{
	answer(r, 200, text, strlen(text));
}

static void
serve_ids(pf_request *r)
{
	char text[64];

	snprintf(text, sizeof text, "%u %u", getuid(), getgid());
	answer_text(r, text);
}

static void
serve_pid(pf_request *r)
{
	char text[32];

	snprintf(text, sizeof text, "%d", (int)getpid());
	answer_text(r, text);
}

static void
serve_cwd(pf_request *r)
{
	char text[4096];

	answer_text(r, getcwd(text, sizeof text) != NULL ? text : "");
}

static void
serve_env(pf_request *r, pf_str query)
{
	char name[64];
	const char *value;

	snprintf(name, sizeof name, "%.*s", (int)query.n, query.p);
	value = getenv(name); /* NOLINT(concurrency-mt-unsafe): none sets it */
	answer_text(r, value != NULL ? value : "");
}

static void
serve_say(pf_request *r, pf_str query)
{
	char text[256];

	snprintf(text, sizeof text, "%d %.*s", (int)getpid(), (int)query.n,
	    query.p);
	answer_text(r, text);
}

static long
number_of(pf_str query)
{
	char digits[24];

	snprintf(digits, sizeof digits, "%.*s", (int)query.n, query.p);
	return strtol(digits, NULL, 10);
}

static void
serve_sleep(pf_request *r, pf_str query)
{
	long ms = number_of(query);
	const struct timespec t = { .tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
	serve_say(r, query);
}

static void
serve_grow(pf_request *r, pf_str query)
{
	size_t n = (size_t)number_of(query) << 20;
	char *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		answer(r, 500, "no memory", 9);
		return;
	}
	memset(p, 1, n); /* and kept for ever */
	serve_say(r, query);
}

static void
serve_gate(const struct probe *p, pf_request *r, pf_str suffix)
{
	char c, path[4096];
	ssize_t n = -1;
	int fd = -1;

	if (p->gate != NULL) {
		snprintf(path, sizeof path, "%s%.*s", p->gate, (int)suffix.n,
		    suffix.p);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd >= 0) {
		n = read(fd, &c, 1);
		close(fd);
	}
	if (n == 1)
		answer_text(r, "through");
	else
		answer(r, 500, "no gate", 7);
}

static void
serve_info(pf_request *r, const pf_info *in)
{
	char text[8192];
	size_t n = 0;

	n += (size_t)snprintf(text, sizeof text, "%.*s %.*s\n%.*s %u\n",
	    (int)in->scheme.n, in->scheme.p, (int)in->host.n, in->host.p,
	    (int)in->remote_addr.n, in->remote_addr.p, in->remote_port);
	n += (size_t)snprintf(text + n, sizeof text - n, "%s %.*s %u\n",
	    in->flags & PF_RF_UNIX ? "unix" : "tcp", (int)in->server_addr.n,
	    in->server_addr.p, in->server_port);
	for (size_t i = 0; i < in->n_headers && n < sizeof text; i++) {
		const pf_header *h = &in->headers[i];

		n += (size_t)snprintf(text + n, sizeof text - n, "%.*s: %.*s\n",
		    (int)h->name.n, h->name.p, (int)h->value.n, h->value.p);
	}
	answer(r, 200, text, n < sizeof text ? n : sizeof text - 1);
}

static void
serve_many(pf_request *r, pf_str query)
{
	static const char piece[PIECE];
	long left = number_of(query);
	int result;

	result = host->start(r, 200, (pf_str){ NULL, 0 }, NULL, 0, -1);
	while (left > 0 && result >= 0) {
		const pf_buf b = { .p = piece,
			.n = left < PIECE ? (size_t)left : PIECE };

		result = host->write(r, &b, 1, 0);
		if (result == PF_AGAIN)
			result = host->wait_writable(r, -1);
		left -= (long)b.n;
	}
	if (result >= 0)
		host->end(r);
	host->done(r);
}

static int
is(pf_str path, const char *name)
{
	return path.n == strlen(name) && memcmp(path.p, name, path.n) == 0;
}

static void
probe_request(void *app, pf_request *r, void *thread)
{
	const pf_info *info = host->info(r);
	pf_str path = { info->path.p + info->mount_len,
		info->path.n - info->mount_len };

	(void)thread;
	if (is(path, "/pid"))
		serve_pid(r);
	else if (is(path, "/ids"))
		serve_ids(r);
	else if (is(path, "/cwd"))
		serve_cwd(r);
	else if (is(path, "/env"))
		serve_env(r, info->query);
	else if (is(path, "/path"))
		answer(r, 200, info->path.p, info->path.n);
	else if (is(path, "/gate"))
		serve_gate(app, r, info->query);
	else if (is(path, "/info"))
		serve_info(r, info);
	else if (is(path, "/many"))
		serve_many(r, info->query);
	else if (is(path, "/say"))
		serve_say(r, info->query);
	else if (is(path, "/sleep"))
		serve_sleep(r, info->query);
	else if (is(path, "/grow"))
		serve_grow(r, info->query);
	else if (is(path, "/fail"))
		answer(r, 503, "not now", 7);
	else if (is(path, "/segv"))
		raise(SIGSEGV);
	else
		answer(r, 404, "no such probe", 13);
}

PREFORK_MODULE(.name = "probe", .version = "1", .check = probe_check,
    .open = probe_open, .on_request = probe_request, .close = probe_close);
