/* One request: environ, the call, the response, close(). */
#include "python.h"

/* Bytes that are freed at once and not with the next request. */
#define PARK_BYTES 65536

/* The parts of a call. */
struct call {
	struct wsgi_app *app;
	pf_request *request;
	PyObject *input, *environ, *result;
	struct start_response *start;
};

static const pf_header text_plain = { .name = PF_STR("Content-Type"),
	.value = PF_STR("text/plain") };

/* Without a response so far: there is one now, and the handle is gone. */
static void
respond_error(pf_request *req, unsigned status)
{
	static const pf_buf text = { .p = "The request failed.\n", .n = 20 };

	if (py.host->respond(req, status, &text_plain, 1, &text, 1) < 0)
		py.host->done(req);
}

void
log_request_text(const struct wsgi_app *app, pf_request *req, int level,
    const char *what, pf_str below)
{
	const pf_info *info = py.host->info(req);

	py.host->log_text(app->app, level, below, "%.*s %.*s: %s",
	    (int)info->method.n, info->method.p,
	    (int)(info->target.n < 256 ? info->target.n : 256), info->target.p,
	    what);
}

void
log_request(const struct wsgi_app *app, pf_request *req, int level,
    const char *what)
{
	log_request_text(app, req, level, what, (pf_str){ .n = 0 });
}

/* ---- the call ----------------------------------------------------------- */

/* NULL and an exception. */
static PyObject *
call_app(struct call *c, struct thread *t)
{
	const pf_info *info = py.host->info(c->request);
	PyObject *args[3] = { NULL };

	c->input = input_new(c->request);
	c->start = start_new(c->app, c->request);
	if (c->input == NULL || c->start == NULL)
		return NULL;
	c->environ = environ_new(c->app, t, info, c->input);
	if (c->environ == NULL)
		return NULL;
	args[1] = c->environ;
	args[2] = (PyObject *)c->start;
	return PyObject_Vectorcall(c->app->callable, args + 1,
	    2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

/* What nobody needs any more; start and result live on. */
static void
release_input(struct call *c)
{
	if (c->input != NULL)
		input_detach(c->input);
	if (c->start != NULL)
		start_detach(c->start);
	Py_CLEAR(c->environ);
	Py_CLEAR(c->input);
}

/* Nobody reads the answer any more, or the body was cut short: that is no error
 * of the application. */
static bool
client_failed(const struct call *c)
{
	if (c->start != NULL && c->start->gone)
		return true;
	return c->input != NULL && input_error(c->input) != 0 &&
	    PyErr_ExceptionMatches(PyExc_OSError);
}

/* Why there is no response: a body that the application could not read, or
 * something else.  An exception is pending. */
static unsigned
error_status(const struct call *c)
{
	int error = c->input != NULL ? input_error(c->input) : 0;

	switch (client_failed(c) ? error : 0) {
	case PF_ETIMEOUT: return 408;
	case PF_ETOOBIG: return 413;
	case PF_EPROTO: return 400;
	case PF_ETRAILERS: return 431;
	default: return 500;
	}
}

/* An exception is pending.  true: the handle is gone. */
static bool
give_up(struct call *c)
{
	if (client_failed(c)) {
		PyErr_Clear();
		log_request(c->app, c->request, PF_LOG_INFO,
		    "the client left, or failed to send its body");
	} else if (c->start != NULL) {
		result_log_exception(c->start, "exception in the application");
	} else {
		PyErr_Clear();
		py.host->log(c->app->app, PF_LOG_ERROR, "out of memory");
	}
	if (c->start != NULL && c->start->committed)
		py.host->abort(c->request);
	return c->start == NULL || !c->start->committed;
}

/* The whole of it with the GIL. */
static void
finish(struct call *c)
{
	bool failed = c->result == NULL || result_send(c->result, c->start) < 0;
	unsigned status = failed ? error_status(c) : 0;
	bool no_head;

	if (c->start != NULL)
		start_settle(c->start);
	no_head = failed && give_up(c);
	if (!failed)
		py.host->end(c->request);
	if (c->result != NULL)
		result_close(c->result, c->start);
	release_input(c);
	Py_CLEAR(c->start);
	Py_CLEAR(c->result);
	if (no_head)
		respond_error(c->request, status);
	else
		py.host->done(c->request);
}

/* The objects that own what is being sent are released when the GIL is held
 * anyway; large ones at once. */
static void
send_in_one_go(struct call *c, struct thread *t, const struct one_go *go)
{
	const struct start_response *s = c->start;

	release_input(c);
	t->parked[0] = (PyObject *)c->start;
	t->parked[1] = go->owner;
	Py_CLEAR(c->result);
	gil_leave(t);
	if (py.host->respond(c->request, s->status, s->headers, s->n, go->buf,
		go->n) < 0) {
		log_request(c->app, c->request, PF_LOG_ERROR,
		    "the response was refused");
		respond_error(c->request, 500);
	}
	if (go->size > PARK_BYTES)
		gil_unpark(t);
}

void
wsgi_request(void *app, pf_request *req, void *thread)
{
	struct call c = { .app = app, .request = req };
	struct thread *t = thread;
	struct one_go go;

	gil_enter(t, req);
	c.result = call_app(&c, t);
	if (c.result != NULL && result_in_one_go(c.result, c.start, &go)) {
		send_in_one_go(&c, t, &go);
		return;
	}
	finish(&c);
	gil_leave(t);
}
