/*
 * wrong: breaks the rules, one a request, and reports the pf_result it got.
 * The client must see a well-formed response, or a cut connection, every time.
 *
 *   answered as text, a line "WHAT CODE" for each try
 *     ?order     write, sendfile and end before start; inform after start;
 *                start twice
 *     ?heads     start with bad statuses, lengths, names and values, and with
 *                fields that are not a module's to send
 *     ?informs   interim responses: 99, 100, 101, 200, three that
 *                would break the message, then a good 103
 *     ?failed    respond() that must fail; "released N" is how often its
 *                buffer was released
 *     ?fd        body_fd of a request without a file
 *     ?started   reads the body behind start(): "read N"
 *   answered without a body, whoever asks
 *     ?bodiless=STATUS  sends one all the same, in the way that &way= says:
 *                by 1 respond(), 2 write() of an announced length, 3 of none,
 *                4 with PF_END, 5 sendfile(); all with a Content-Type
 *   answered with a body of 4 bytes, its code or codes in the log
 *     ?long      writes 5 bytes of 4 announced, then the 4
 *     ?twice     end() twice, and a write after it
 *   not answered completely
 *     ?short     4 bytes of 10 announced, then end(): code in the log
 *     ?unended   4 bytes, then done()
 *     ?aborted   4 bytes, then abort() and done()
 *     ?nothing   done() alone: 500
 *     ?kept      returns, and never says done(), until ?let
 *     ?let       "WHAT CODE" of write() to the kept request, then its done()
 *
 * Log lines read "WHAT CODE".
 */
#include <fcntl.h>
#include <pthread.h>

#include "tests/modules/exchange.h"

#define TEXT(literal) ((pf_str)SLICE(literal))

static const pf_host *host;
static pf_app *first_app;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pf_request *kept; /* guarded by lock */

struct report {
	char text[1024];
	size_t n;
};

static int
wrong_init(const pf_host *h, pf_app *first, void **module)
{
	*module = NULL;
	host = h;
	first_app = first;
	return 0;
}

static void
report_add(struct report *r, const char *what, int code)
{
	r->n += (size_t)snprintf(r->text + r->n, sizeof r->text - r->n,
	    "%s %d\n", what, code);
}

static void
log_code(const char *what, int code)
{
	host->log(first_app, PF_LOG_INFO, "%s %d", what, code);
}

static int
start(pf_request *req, int64_t length)
{
	return host->start(req, 200, (pf_str){ 0 }, NULL, 0, length);
}

static int
write_text(pf_request *req, pf_str text)
{
	pf_buf buf = { .p = text.p, .n = text.n };

	return host->write(req, &buf, 1, 0);
}

/* After start(): the report as the body. */
static void
finish_with(pf_request *req, const struct report *r)
{
	(void)write_text(req, (pf_str){ r->text, r->n });
	(void)host->end(req);
	host->done(req);
}

static void
order(pf_request *req)
{
	struct report r = { .n = 0 };

	report_add(&r, "write", write_text(req, TEXT("early")));
	report_add(&r, "sendfile", host->sendfile(req, 0, 0, 1, 0));
	report_add(&r, "end", host->end(req));
	report_add(&r, "start", start(req, -1));
	report_add(&r, "inform", host->inform(req, 103, NULL, 0));
	report_add(&r, "start", start(req, -1));
	finish_with(req, &r);
}

/* Each try must fail, since the next one needs the response not started. */
static const struct head {
	const char *what;
	pf_header header;
	int64_t length;
	unsigned status;
} heads[] = {
	{ "status-0", { .name = SLICE("A") }, -1, 0 },
	{ "status-103", { .name = SLICE("A") }, -1, 103 },
	{ "status-600", { .name = SLICE("A") }, -1, 600 },
	{ "length", { .name = SLICE("A") }, -2, 200 },
	{ "empty-name", { .name = SLICE("") }, -1, 200 },
	{ "name", { .name = SLICE("Bad Name") }, -1, 200 },
	{ "name-colon", { .name = SLICE("A:") }, -1, 200 },
	{ "value-lf", { .name = SLICE("A"), .value = SLICE("a\nB: c") }, -1,
	    200 },
	{ "value-cr", { .name = SLICE("A"), .value = SLICE("a\rb") }, -1, 200 },
	{ "value-nul", { .name = SLICE("A"), .value = SLICE("a\0b") }, -1,
	    200 },
	{ "connection",
	    { .name = SLICE("Connection"), .value = SLICE("close") }, -1, 200 },
	{ "transfer-encoding",
	    { .name = SLICE("Transfer-Encoding"), .value = SLICE("chunked") },
	    -1, 200 },
	{ "content-length-word",
	    { .name = SLICE("Content-Length"), .value = SLICE("+4") }, -1,
	    200 },
	{ "content-length-other",
	    { .name = SLICE("content-length"), .value = SLICE("4") }, 5, 200 },
};

static void
bad_heads(pf_request *req)
{
	struct report r = { .n = 0 };

	for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
		report_add(&r, heads[i].what,
		    host->start(req, heads[i].status, (pf_str){ 0 },
			&heads[i].header, 1, heads[i].length));
	report_add(&r, "reason",
	    host->start(req, 200, TEXT("a\r\nb"), NULL, 0, -1));
	report_add(&r, "good", start(req, -1));
	finish_with(req, &r);
}

static void
informs(pf_request *req)
{
	static const unsigned bad[] = { 99, 100, 101, 200 };
	static const pf_header link = { .name = SLICE("Link"),
		.value = SLICE("</a.css>; rel=preload") };
	static const pf_header split[] = {
		{ .name = SLICE("Link"), .value = SLICE("</a>\r\nX: y") },
		{ .name = SLICE("Link: </a>\r\nX"), .value = SLICE("y") },
		{ .name = SLICE("Transfer-Encoding"),
		    .value = SLICE("chunked") },
	};
	struct report r = { .n = 0 };

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char what[16];

		snprintf(what, sizeof what, "%u", bad[i]);
		report_add(&r, what, host->inform(req, bad[i], &link, 1));
	}
	report_add(&r, "split value", host->inform(req, 103, &split[0], 1));
	report_add(&r, "split name", host->inform(req, 103, &split[1], 1));
	report_add(&r, "coding", host->inform(req, 103, &split[2], 1));
	report_add(&r, "103", host->inform(req, 103, &link, 1));
	reply(host, req, 200, "%s", r.text);
}

static void
count_release(void *count)
{
	++*(int *)count;
}

static void
failed_respond(pf_request *req)
{
	int n_released = 0;
	pf_buf buf = { "x", 1, count_release, &n_released };
	struct report r = { .n = 0 };

	report_add(&r, "respond",
	    host->respond(req, 200, &(pf_header){ .name = SLICE("Bad Name") },
		1, &buf, 1));
	report_add(&r, "released", n_released);
	reply(host, req, 200, "%s", r.text);
}

static void
no_file(pf_request *req)
{
	int64_t length = 0;

	reply(host, req, 200, "body_fd %d\n", host->body_fd(req, &length));
}

static void
started(pf_request *req)
{
	struct report r = { .n = 0 };
	char buf[64];
	size_t n = 0;
	int result = PF_OK;

	(void)start(req, -1);
	while (result == PF_OK) {
		n += host->read(req, buf, sizeof buf, &result);
		if (result == PF_AGAIN)
			result = host->wait_readable(req, -1);
	}
	report_add(&r, "read", (int)n);
	finish_with(req, &r);
}

static void
too_long(pf_request *req)
{
	(void)start(req, 4);
	log_code("long", write_text(req, TEXT("12345")));
	(void)write_text(req, TEXT("good"));
	(void)host->end(req);
	host->done(req);
}

static void
end_twice(pf_request *req)
{
	(void)start(req, 4);
	(void)write_text(req, TEXT("good"));
	(void)host->end(req);
	log_code("twice", host->end(req));
	log_code("after", write_text(req, TEXT("late")));
	host->done(req);
}

static void
too_short(pf_request *req)
{
	(void)start(req, 10);
	(void)write_text(req, TEXT("only"));
	log_code("short", host->end(req));
	host->done(req);
}

static void
unended(pf_request *req)
{
	(void)start(req, -1);
	(void)write_text(req, TEXT("only"));
	host->done(req);
}

static void
aborted(pf_request *req)
{
	(void)start(req, -1);
	(void)write_text(req, TEXT("only"));
	host->abort(req);
	host->done(req);
}

static void
nothing(pf_request *req)
{
	host->done(req);
}

enum way { RESPOND = 1, ANNOUNCED, CHUNKED, AT_ONCE, SENDFILE };

static void
send_in_parts(pf_request *req, unsigned status, enum way way)
{
	static const pf_header type = { .name = SLICE("Content-Type"),
		.value = SLICE("text/plain") };
	pf_buf buf = { .p = "body", .n = 4 };

	(void)host->start(req, status, (pf_str){ 0 }, &type, 1,
	    way == CHUNKED ? -1 : 4);
	if (way == SENDFILE) {
		int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

		(void)host->sendfile(req, fd, 0, 4, PF_TAKE_FD | PF_END);
	} else {
		(void)host->write(req, &buf, 1, way == AT_ONCE ? PF_END : 0);
		if (way != AT_ONCE)
			(void)host->end(req);
	}
	host->done(req);
}

static void
bodiless(pf_request *req)
{
	const pf_info *in = host->info(req);
	unsigned status = (unsigned)query_number(in, "bodiless", 204);
	enum way way = (enum way)query_number(in, "way", RESPOND);
	pf_buf buf = { .p = "body", .n = 4 };

	if (way == RESPOND)
		(void)host->respond(req, status, NULL, 0, &buf, 1);
	else
		send_in_parts(req, status, way);
}

static pf_request *
kept_swap(pf_request *with)
{
	pf_request *was;

	pthread_mutex_lock(&lock);
	was = kept;
	kept = with;
	pthread_mutex_unlock(&lock);
	return was;
}

/* One at a time: the one before is given up. */
static void
keep(pf_request *req)
{
	pf_request *was = kept_swap(req);

	if (was != NULL)
		host->done(was);
}

static void
let(pf_request *req)
{
	pf_request *was = kept_swap(NULL);
	struct report r = { .n = 0 };

	if (was == NULL) {
		reply(host, req, 404, "nothing is kept\n");
		return;
	}
	report_add(&r, "alive", host->alive(was));
	report_add(&r, "start", start(was, 4));
	report_add(&r, "write", write_text(was, TEXT("late")));
	(void)host->end(was);
	host->done(was);
	reply(host, req, 200, "%s", r.text);
}

static const struct rule {
	const char *name;
	void (*break_it)(pf_request *);
} rules[] = {
	{ "order", order },
	{ "heads", bad_heads },
	{ "informs", informs },
	{ "failed", failed_respond },
	{ "fd", no_file },
	{ "started", started },
	{ "long", too_long },
	{ "twice", end_twice },
	{ "short", too_short },
	{ "unended", unended },
	{ "aborted", aborted },
	{ "nothing", nothing },
	{ "bodiless", bodiless },
	{ "kept", keep },
	{ "let", let },
};

static void
wrong_request(void *app, pf_request *req, void *thread)
{
	const pf_info *in = host->info(req);

	(void)app;
	(void)thread;
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
		if (query_number(in, rules[i].name, 0) != 0) {
			rules[i].break_it(req);
			return;
		}
	reply(host, req, 404, "no such rule\n");
}

/* So that a worker with a kept request can end. */
static void
wrong_fini(void *module)
{
	pf_request *was = kept_swap(NULL);

	(void)module;
	if (was != NULL)
		host->done(was);
}

PREFORK_MODULE(.name = "wrong", .version = "1", .worker_init = wrong_init,
    .on_request = wrong_request, .worker_fini = wrong_fini);
