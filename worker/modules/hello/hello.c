/*
 * hello: the smallest complete module.
 *
 *   [app:hello]
 *   type = module
 *   target = hello.so
 *   option.text = Good morning     ; instead of "Hello, World!"
 *
 * It answers every request, whatever its method, path or body, with one text.
 * That is also what makes it the handler to measure the server with: nothing is
 * computed, and the request is not even looked at.  echo shows how to do that.
 */
#include <prefork/module.h>
#include <stdlib.h>
#include <string.h>

#define SLICE(literal)                                                         \
	{                                                                      \
		"" literal, sizeof(literal) - 1                                \
	}

/* One per [app:NAME]; immutable after open(), so that any thread may read it.
 */
struct hello {
	const pf_host *host;
	pf_buf text;
};

static const pf_header text_plain[] = {
	{ .name = SLICE("Content-Type"),
	    .value = SLICE("text/plain; charset=utf-8") },
};

/* Main thread, once per app and worker.  An option lives as long as the app, so
 * that it need not be copied. */
static int
hello_open(const pf_host *host, pf_app *app, void *module, void **out)
{
	struct hello *h = malloc(sizeof *h);
	const char *text = host->option(app, "text", "Hello, World!");

	(void)module;
	if (h == NULL) {
		host->fail(app, "hello: out of memory");
		return -1;
	}
	h->host = host;
	h->text = (pf_buf){ .p = text, .n = strlen(text) };
	*out = h;
	return 0;
}

/* A handler thread; several may be here at once.  respond() sends all and is
 * done() too, unless it fails: then done() alone makes it a 500. */
static void
hello_request(void *app, pf_request *req, void *thread)
{
	const struct hello *h = app;

	(void)thread;
	if (h->host->respond(req, 200, text_plain, 1, &h->text, 1) < 0)
		h->host->done(req);
}

static void
hello_close(void *app)
{
	free(app);
}

PREFORK_MODULE(.name = "hello", .version = "1", .open = hello_open,
    .on_request = hello_request, .close = hello_close);
