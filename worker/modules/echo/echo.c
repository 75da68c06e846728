/*
 * echo: a complete module that streams.
 *
 *   [app:echo]
 *   type = module
 *   target = echo
 *   mount = /echo
 *
 * A request with a body gets that body back, piece by piece as it arrives, with
 * its Content-Type; it is never held as a whole, whatever its size and however
 * slowly either side goes.  GET and HEAD without a body get the request itself
 * as text.
 */
#include <prefork/module.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SLICE(literal)                                                         \
	{                                                                      \
		"" literal, sizeof(literal) - 1                                \
	}
#define STR(literal) ((pf_str)SLICE(literal))

/* As long as prefork's own limits (body_timeout, send_timeout) allow. */
#define NO_LIMIT (-1)

/* One table per process, the same for every app: set before any request. */
static const pf_host *host;

static int
echo_init(const pf_host *h, pf_app *first, void **module)
{
	(void)first;
	*module = NULL;
	host = h;
	return 0;
}

/* ---- the body, back to where it came from -------------------------------- */

/* Nothing was sent yet: what went wrong with the body becomes a status. */
static void
refuse(pf_request *req, int why)
{
	static const pf_header type = { .name = SLICE("Content-Type"),
		.value = SLICE("text/plain") };
	unsigned status = 500;
	pf_buf text = { .p = "the body could not be read\n", .n = 27 };

	if (why == PF_ETOOBIG) {
		status = 413;
		text = (pf_buf){ .p = "the body is too large\n", .n = 22 };
	} else if (why == PF_EPROTO) {
		status = 400;
		text = (pf_buf){ .p = "the body is malformed\n", .n = 22 };
	} else if (why == PF_ETRAILERS) {
		status = 431;
		text = (pf_buf){ .p = "the trailers are too large\n", .n = 27 };
	} else if (why == PF_ETIMEOUT) {
		status = 408;
		text = (pf_buf){ .p = "the body is too slow\n", .n = 21 };
	}
	if (host->respond(req, status, &type, 1, &text, 1) < 0)
		host->done(req);
}

/* The head of the answer.  A known length is passed through; if it is not known
 * (a chunked request), prefork chunks the answer as well. */
static int
start(pf_request *req)
{
	const pf_info *in = host->info(req);
	const pf_header *type = host->header(req, "content-type");
	pf_header h[] = {
		{ .name = SLICE("Content-Type"),
		    .value = SLICE("application/octet-stream") },
		/* The bytes are the client's: no guessing what they are. */
		{ .name = SLICE("X-Content-Type-Options"),
		    .value = SLICE("nosniff") },
	};

	if (type != NULL && type->value.n > 0)
		h[0].value = type->value;
	return host->start(req, 200, (pf_str){ 0 }, h, 2, in->body_length);
}

/* write() always takes what it is given, copied since there is no release
 * function, so the piece can be given back at once.  PF_AGAIN says that the
 * client reads more slowly than it sends: waiting here stops the reading too,
 * which is how the pressure reaches the client. */
static int
pass_on(pf_request *req, pf_str piece)
{
	pf_buf out = { .p = piece.p, .n = piece.n };
	int rc = host->write(req, &out, 1, 0);

	host->consume(req, piece.n);
	return rc == PF_AGAIN ? host->wait_writable(req, NO_LIMIT) : rc;
}

/* Until the end of the body.  PF_EOF, or the error that ended it before; an
 * error of a body that nothing was read of leaves *started false. */
static int
copy(pf_request *req, bool *started)
{
	pf_str piece;
	int rc = PF_OK;

	while (rc == PF_OK) {
		rc = host->peek(req, &piece);
		if (rc == PF_AGAIN) {
			rc = host->wait_readable(req, NO_LIMIT);
			continue;
		}
		if (rc != PF_OK && rc != PF_EOF)
			break;
		if (!*started) {
			int head = start(req);

			if (head < 0)
				return head;
			*started = true;
		}
		if (rc == PF_OK)
			rc = pass_on(req, piece);
	}
	return rc;
}

static void
echo_body(pf_request *req)
{
	bool started = false;
	int rc = copy(req, &started);

	if (rc == PF_EOF) {
		(void)host->end(req); /* fails only when the client is gone */
	} else if (!started && rc != PF_ECLOSED) {
		refuse(req, rc); /* and done */
		return;
	} else if (rc != PF_ECLOSED) {
		/* Too late for a status: the cut connection tells. */
		host->abort(req);
	}
	host->done(req);
}

/* ---- the request as text ------------------------------------------------- */

/* Filled twice: without memory to learn the length, then with it. */
struct text {
	char *p;
	size_t n;
};

static void
put(struct text *t, pf_str s)
{
	if (t->p != NULL && s.n > 0)
		memcpy(t->p + t->n, s.p, s.n);
	t->n += s.n;
}

static void
put_field(struct text *t, pf_str name, pf_str value)
{
	put(t, name);
	put(t, STR(": "));
	put(t, value);
	put(t, STR("\n"));
}

/* Secrets of the client stay out of a page that scripts may read. */
static bool
is_secret(const pf_header *h)
{
	return h->id == PF_H_COOKIE || h->id == PF_H_AUTHORIZATION;
}

static void
put_request(struct text *t, const pf_info *in)
{
	put_field(t, STR("method"), in->method);
	put_field(t, STR("path"), in->path);
	put_field(t, STR("mount"), (pf_str){ in->path.p, in->mount_len });
	put_field(t, STR("query"), in->query);
	put_field(t, STR("client"), in->remote_addr);
	put(t, STR("\n"));
	for (size_t i = 0; i < in->n_headers; i++) {
		const pf_header *h = &in->headers[i];

		put_field(t, h->name, is_secret(h) ? STR("...") : h->value);
	}
}

/* The text is handed over with free() as its release function instead of being
 * copied; prefork calls it when the bytes are sent, or cannot be. */
static void
describe(pf_request *req, const pf_info *in)
{
	static const pf_header h[] = {
		{ .name = SLICE("Content-Type"),
		    .value = SLICE("text/plain; charset=utf-8") },
		{ .name = SLICE("X-Content-Type-Options"),
		    .value = SLICE("nosniff") },
	};
	struct text t = { 0 };
	pf_buf body;

	put_request(&t, in);
	t.p = malloc(t.n);
	if (t.p == NULL) {
		host->done(req); /* without a response: prefork says 500 */
		return;
	}
	t.n = 0;
	put_request(&t, in);
	body = (pf_buf){ .p = t.p, .n = t.n, .release = free, .ud = t.p };
	if (host->respond(req, 200, h, 2, &body, 1) < 0)
		host->done(req);
}

static bool
is(pf_str s, const char *word)
{
	return s.n == strlen(word) && memcmp(s.p, word, s.n) == 0;
}

static void
echo_request(void *app, pf_request *req, void *thread)
{
	const pf_info *in = host->info(req);

	(void)app;
	(void)thread;
	if (in->body_length == 0 &&
	    (is(in->method, "GET") || is(in->method, "HEAD")))
		describe(req, in);
	else
		echo_body(req);
}

PREFORK_MODULE(.name = "echo", .version = "1", .worker_init = echo_init,
    .on_request = echo_request);
