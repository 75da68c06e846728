/* start_response and the write() it returns (PEP 3333): what an application
 * says of its response is checked when it says so. */
#include <string.h>
#include <strings.h>
#include <time.h>

#include "python.h"

/* Above this a copy to the socket is not made with the GIL held. */
#define RELEASE_BYTES 65536

/* ---- errors ------------------------------------------------------------- */

void
raise_result(int result)
{
	switch (result) {
	case PF_ECLOSED:
		PyErr_SetString(PyExc_ConnectionAbortedError,
		    "the client is gone");
		return;
	case PF_ETIMEOUT:
		PyErr_SetString(PyExc_TimeoutError, "the client is too slow");
		return;
	case PF_ETOOBIG:
		PyErr_SetString(PyExc_OSError, "the body is over max_body");
		return;
	case PF_ETRAILERS:
		PyErr_SetString(PyExc_OSError,
		    "behind the body: too many trailers, or too long");
		return;
	case PF_EPROTO:
		PyErr_SetString(PyExc_ConnectionAbortedError,
		    "the body is malformed or was cut short");
		return;
	case PF_ENOMEM: PyErr_NoMemory(); return;
	default:
		PyErr_Format(PyExc_RuntimeError,
		    "prefork refuses the response (%d)", result);
		return;
	}
}

/* ---- what the application says ------------------------------------------ */

/* tchar of RFC 9110 5.6.2. */
static bool
is_token(const char *p, size_t n)
{
	static const char other[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
			continue;
		if ((c < '0' || c > '9') &&
		    (c == '\0' || strchr(other, c) == NULL))
			return false;
	}
	return n > 0;
}

static bool
has_controls(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return true;
	}
	return false;
}

static bool
named(pf_str s, const char *name)
{
	return s.n == strlen(name) && strncasecmp(s.p, name, s.n) == 0;
}

/* The bytes of a str as they go over the wire. */
static int
slice_of(PyObject *text, const char *what, pf_str *out)
{
	if (!PyUnicode_Check(text)) {
		PyErr_Format(PyExc_TypeError, "%s must be str, not %.100s",
		    what, Py_TYPE(text)->tp_name);
		return -1;
	}
#if PY_VERSION_HEX < 0x030c0000
	if (PyUnicode_READY(text) < 0)
		return -1;
#endif
	if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND) {
		PyErr_Format(PyExc_ValueError,
		    "%s has characters beyond ISO-8859-1: %.200R", what, text);
		return -1;
	}
	*out = (pf_str){ (const char *)PyUnicode_1BYTE_DATA(text),
		(size_t)PyUnicode_GET_LENGTH(text) };
	return 0;
}

/* "404 Not Found" */
static int
take_status(struct start_response *s, PyObject *text)
{
	unsigned status = 0;
	pf_str line;
	size_t i;

	if (slice_of(text, "status", &line) < 0)
		return -1;
	for (i = 0; i < line.n && i < 3 && line.p[i] >= '0' && line.p[i] <= '9';
	     i++)
		status = status * 10 + (unsigned)(line.p[i] - '0');
	if (i != 3 || line.n < 4 || line.p[3] != ' ' || status < 200 ||
	    status > 599 || has_controls(line.p, line.n)) {
		PyErr_Format(PyExc_ValueError,
		    "status must be a number from 200 to 599, a space and a "
		    "reason, not %.200R",
		    text);
		return -1;
	}
	s->status = status;
	s->reason = (pf_str){ line.p + 4, line.n - 4 };
	s->standard_reason = status == 200 && s->reason.n == 2 &&
	    memcmp(s->reason.p, "OK", 2) == 0;
	Py_XSETREF(s->status_text, Py_NewRef(text));
	return 0;
}

static int
take_length(struct start_response *s, pf_str value)
{
	int64_t length = 0;

	for (size_t i = 0; i < value.n && length >= 0; i++) {
		if (value.p[i] < '0' || value.p[i] > '9' || i >= 18)
			length = -1;
		else
			length = length * 10 + (value.p[i] - '0');
	}
	if (value.n == 0 || length < 0 ||
	    (s->length >= 0 && s->length != length)) {
		PyErr_SetString(PyExc_ValueError,
		    s->length >= 0 ? "Content-Length is given twice" :
				     "Content-Length is not a number");
		return -1;
	}
	s->length = length;
	return 0;
}

/* The server's to say (RFC 9110 7.6.1), or a relic of CGI. */
static bool
is_servers(pf_str name)
{
	static const char *const theirs[] = { "connection", "keep-alive",
		"proxy-authenticate", "proxy-authorization", "proxy-connection",
		"te", "trailer", "transfer-encoding", "upgrade", "status" };

	switch (name.p[0] | 0x20) {
	case 'c':
	case 'k':
	case 'p':
	case 't':
	case 'u':
	case 's': break;
	default: return false;
	}
	for (size_t i = 0; i < sizeof theirs / sizeof theirs[0]; i++)
		if (named(name, theirs[i]))
			return true;
	return false;
}

static int
ignore_header(const struct start_response *s, pf_str name)
{
	static bool told; /* guarded by the GIL */

	if (!told)
		py.host->log(s->app->app, PF_LOG_WARN,
		    "the response header %.*s is the server's to send: left "
		    "out, here and from now on",
		    (int)name.n, name.p);
	told = true;
	return 0;
}

static int
take_header(struct start_response *s, PyObject *pair)
{
	pf_str name, value;

	if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
		PyErr_Format(PyExc_TypeError,
		    "a header must be a tuple of name and value, not %.200R",
		    pair);
		return -1;
	}
	if (slice_of(PyTuple_GET_ITEM(pair, 0), "a header's name", &name) < 0 ||
	    slice_of(PyTuple_GET_ITEM(pair, 1), "a header's value", &value) < 0)
		return -1;
	if (!is_token(name.p, name.n) || has_controls(value.p, value.n)) {
		PyErr_Format(PyExc_ValueError, "no header can be %.200R", pair);
		return -1;
	}
	for (; value.n > 0 && (value.p[0] == ' ' || value.p[0] == '\t');
	     value.n--)
		value.p++;
	while (value.n > 0 &&
	    (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t'))
		value.n--;
	if (is_servers(name))
		return ignore_header(s, name);
	if (named(name, "content-length"))
		return take_length(s, value);
	s->headers[s->n++] = (pf_header){ .name = name, .value = value };
	s->held[s->n_held++] = Py_NewRef(pair);
	return 0;
}

static void
forget_headers(struct start_response *s)
{
	while (s->n_held > 0)
		Py_DECREF(s->held[--s->n_held]);
	if (s->headers != s->inline_headers)
		PyMem_Free(s->headers);
	if (s->held != s->inline_held)
		PyMem_Free(s->held);
	s->headers = s->inline_headers;
	s->held = s->inline_held;
	s->n = 0;
	s->length = -1;
}

static int
room_for(struct start_response *s, size_t n)
{
	pf_header *headers;
	PyObject **held;

	if (n <= START_INLINE)
		return 0;
	headers = PyMem_Malloc(n * sizeof *headers);
	held = PyMem_Malloc(n * sizeof(PyObject *));
	if (headers == NULL || held == NULL) {
		PyMem_Free(headers);
		PyMem_Free(held);
		PyErr_NoMemory();
		return -1;
	}
	s->headers = headers;
	s->held = held;
	return 0;
}

static int
take_headers(struct start_response *s, PyObject *list)
{
	if (!PyList_Check(list)) {
		PyErr_Format(PyExc_TypeError,
		    "headers must be a list, not %.100s",
		    Py_TYPE(list)->tp_name);
		return -1;
	}
	forget_headers(s);
	if (room_for(s, (size_t)PyList_GET_SIZE(list)) < 0)
		return -1;
	for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++)
		if (take_header(s, PyList_GET_ITEM(list, i)) < 0)
			return -1;
	return 0;
}

/* ---- start_response(status, headers, exc_info=None) --------------------- */

/* Is it what sys.exc_info() returns while an exception is handled? */
static bool
is_exc_info(PyObject *info)
{
	PyObject *kind, *trace;

	if (!PyTuple_Check(info) || PyTuple_GET_SIZE(info) != 3)
		return false;
	kind = PyTuple_GET_ITEM(info, 0);
	trace = PyTuple_GET_ITEM(info, 2);
	return PyExceptionClass_Check(kind) &&
	    PyObject_TypeCheck(PyTuple_GET_ITEM(info, 1),
		(PyTypeObject *)kind) &&
	    (trace == Py_None || PyTraceBack_Check(trace));
}

/* The response is on its way: what went wrong goes on. */
static PyObject *
reraise(PyObject *exc_info)
{
	PyObject *trace;

	if (!is_exc_info(exc_info)) {
		PyErr_SetString(PyExc_TypeError,
		    "exc_info must be what sys.exc_info() returns");
		return NULL;
	}
	trace = PyTuple_GET_ITEM(exc_info, 2);
	PyErr_Restore(Py_NewRef(PyTuple_GET_ITEM(exc_info, 0)),
	    Py_NewRef(PyTuple_GET_ITEM(exc_info, 1)),
	    trace == Py_None ? NULL : Py_NewRef(trace));
	return NULL;
}

static PyObject *
start_write_method(PyObject *self, PyObject *data)
{
	struct start_response *s = (struct start_response *)self;
	pf_buf buf;

	if (!PyBytes_Check(data)) {
		PyErr_Format(PyExc_TypeError,
		    "write() argument must be bytes, not %.100s",
		    Py_TYPE(data)->tp_name);
		return NULL;
	}
	buf = (pf_buf){ .p = PyBytes_AS_STRING(data),
		.n = (size_t)PyBytes_GET_SIZE(data) };
	if (s->length >= 0 && s->sent >= s->length && buf.n > 0) {
		PyErr_SetString(PyExc_ValueError,
		    "write() beyond the Content-Length");
		return NULL;
	}
	if (start_write(s, &buf, 1) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyMethodDef write_method = { "write", start_write_method, METH_O,
	"write(data): body bytes, sent before it returns" };

/* NULL for None, or when it is not given. */
static int
arguments(PyObject *const *args, size_t n, PyObject *keywords,
    PyObject **exc_info)
{
	Py_ssize_t n_keywords =
	    keywords != NULL ? PyTuple_GET_SIZE(keywords) : 0;
	bool one = n + (size_t)n_keywords == 3;

	*exc_info = NULL;
	if (n == 2 && n_keywords == 1 &&
	    PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0),
		"exc_info") != 0)
		one = false;
	if (n < 2 || n > 3 || (!one && n + (size_t)n_keywords != 2)) {
		PyErr_SetString(PyExc_TypeError,
		    "start_response(status, headers, exc_info=None)");
		return -1;
	}
	if (one && args[2] != Py_None)
		*exc_info = args[2];
	return 0;
}

static PyObject *
start_call(PyObject *self, PyObject *const *args, size_t nargsf,
    PyObject *keywords)
{
	struct start_response *s = (struct start_response *)self;
	PyObject *exc_info;

	if (arguments(args, (size_t)PyVectorcall_NARGS(nargsf), keywords,
		&exc_info) < 0)
		return NULL;
	if (s->request == NULL) {
		PyErr_SetString(PyExc_ValueError, "the request is over");
		return NULL;
	}
	if (exc_info != NULL && s->committed)
		return reraise(exc_info);
	if (exc_info == NULL && s->status != 0) {
		PyErr_SetString(PyExc_AssertionError,
		    "start_response was called before; a second time needs "
		    "exc_info");
		return NULL;
	}
	s->status = 0;
	if (take_headers(s, args[1]) < 0 || take_status(s, args[0]) < 0)
		return NULL;
	return PyCFunction_New(&write_method, self);
}

/* ---- sending ------------------------------------------------------------ */

static int
failed(struct start_response *s, int result)
{
	s->gone = result == PF_ECLOSED || result == PF_ETIMEOUT;
	raise_result(result);
	return -1;
}

int
start_commit(struct start_response *s, int64_t length)
{
	int result;

	if (s->committed)
		return 0;
	if (s->status == 0) {
		PyErr_SetString(PyExc_RuntimeError,
		    "the application did not call start_response");
		return -1;
	}
	result = py.host->start(s->request, s->status, s->reason, s->headers,
	    s->n, s->length >= 0 ? s->length : length);
	if (result < 0)
		return failed(s, result);
	s->committed = true;
	return 0;
}

static int
send_bytes(struct start_response *s, const pf_buf *bufs, size_t n, size_t size)
{
	int result;

	s->busy = true;
	if (size > RELEASE_BYTES)
		GIL_RELEASED(result = py.host->write(s->request, bufs, n, 0));
	else
		result = py.host->write(s->request, bufs, n, 0);
	if (result == PF_AGAIN)
		GIL_RELEASED(result = py.host->wait_writable(s->request, -1));
	s->busy = false;
	return result < 0 ? failed(s, result) : 0;
}

int
start_write(struct start_response *s, const pf_buf *bufs, size_t n)
{
	int64_t left = s->length >= 0 ? s->length - s->sent : INT64_MAX;
	pf_buf last = { 0 };
	int64_t size = 0;
	size_t whole;

	if (s->request == NULL) {
		PyErr_SetString(PyExc_ValueError, "the request is over");
		return -1;
	}
	for (whole = 0; whole < n; whole++) {
		if ((int64_t)bufs[whole].n > left - size) {
			last = (pf_buf){ .p = bufs[whole].p,
				.n = (size_t)(left - size) };
			break;
		}
		size += (int64_t)bufs[whole].n;
	}
	if (start_commit(s, -1) < 0)
		return -1;
	if (whole < n && !s->enough)
		log_request(s->app, s->request, PF_LOG_WARN,
		    "the body goes on beyond its Content-Length: the rest is "
		    "left out");
	s->enough |=
	    whole < n || (py.host->info(s->request)->flags & PF_RF_HEAD) != 0;
	s->sent += size + (int64_t)last.n;
	if (size > 0 && send_bytes(s, bufs, whole, (size_t)size) < 0)
		return -1;
	return last.n > 0 ? send_bytes(s, &last, 1, last.n) : 0;
}

/* ---- the object --------------------------------------------------------- */

struct start_response *
start_new(struct wsgi_app *app, pf_request *req)
{
	struct start_response *s =
	    PyObject_New(struct start_response, py.start_type);

	if (s == NULL)
		return NULL;
	s->call = start_call;
	s->app = app;
	s->request = req;
	s->status = 0;
	s->standard_reason = false;
	s->status_text = NULL;
	s->n = s->n_held = 0;
	s->headers = s->inline_headers;
	s->held = s->inline_held;
	s->length = -1;
	s->sent = 0;
	s->busy = s->committed = s->gone = s->enough = false;
	return s;
}

void
start_settle(const struct start_response *s)
{
	static const struct timespec nap = { .tv_nsec = 1000000 };

	while (s->busy)
		GIL_RELEASED(nanosleep(&nap, NULL));
}

void
start_detach(struct start_response *s)
{
	start_settle(s);
	s->request = NULL;
}

static void
start_dealloc(PyObject *self)
{
	struct start_response *s = (struct start_response *)self;
	PyTypeObject *type = Py_TYPE(self);

	forget_headers(s);
	Py_XDECREF(s->status_text);
	PyObject_Free(self);
	Py_DECREF(type);
}

int
start_init(void)
{
	static PyMemberDef members[] = {
		{ "__vectorcalloffset__", T_PYSSIZET,
		    offsetof(struct start_response, call), READONLY, NULL },
		{ 0 },
	};
	static PyType_Slot slots[] = {
		{ Py_tp_doc,
		    (void *)(uintptr_t) "start_response(status, headers, "
					"exc_info=None): write()" },
		{ Py_tp_members, members },
		{ Py_tp_call, PyVectorcall_Call },
		{ Py_tp_dealloc, start_dealloc },
		{ 0 },
	};
	static PyType_Spec spec = { .name = "prefork.StartResponse",
		.basicsize = sizeof(struct start_response),
		.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL |
		    Py_TPFLAGS_DISALLOW_INSTANTIATION,
		.slots = slots };

	py.start_type = (PyTypeObject *)PyType_FromSpec(&spec);
	return py.start_type == NULL ? -1 : 0;
}
