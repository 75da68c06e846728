/* wsgi.input: the body as a file.  Normally all of it is here; with stream =
 * yes it waits for more, without the GIL. */
#include <string.h>
#include <time.h>

#include "python.h"

#define GROW_BYTES 65536 /* when the length is not known */

struct input {
	PyObject_HEAD pf_request *request; /* NULL when it is over */
	uint64_t consumed;
	bool waiting; /* in a call without the GIL */
	int error;    /* why the body ended early; enum pf_result, or 0 */
};

/* Bytes being put together. */
struct builder {
	PyObject *bytes;
	size_t n, size;
};

/* ---- reading ------------------------------------------------------------ */

static int
body_failed(struct input *in, int result)
{
	in->error = result;
	raise_result(result);
	return -1;
}

static int
wait_readable(struct input *in)
{
	int result;

	in->waiting = true;
	GIL_RELEASED(result = py.host->wait_readable(in->request, -1));
	in->waiting = false;
	return result < 0 ? body_failed(in, result) : 0;
}

/* 1: what comes next; 0: that was all; -1. */
static int
next_slice(struct input *in, pf_str *s)
{
	int result;

	if (in->request == NULL) {
		PyErr_SetString(PyExc_ValueError,
		    "the request of this input is over");
		return -1;
	}
	while ((result = py.host->peek(in->request, s)) == PF_AGAIN)
		if (wait_readable(in) < 0)
			return -1;
	if (result == PF_OK)
		return 1;
	return result == PF_EOF ? 0 : body_failed(in, result);
}

static void
consume(struct input *in, size_t n)
{
	py.host->consume(in->request, n);
	in->consumed += n;
}

static int
append(struct builder *b, const char *p, size_t n)
{
	if (b->n + n > b->size) {
		size_t size = 2 * b->size > b->n + n ? 2 * b->size : b->n + n;

		if (_PyBytes_Resize(&b->bytes, (Py_ssize_t)size) < 0)
			return -1;
		b->size = size;
	}
	memcpy(PyBytes_AS_STRING(b->bytes) + b->n, p, n);
	b->n += n;
	return 0;
}

static PyObject *
built(struct builder *b, int result)
{
	if (result < 0)
		Py_CLEAR(b->bytes);
	else if (b->n != b->size)
		_PyBytes_Resize(&b->bytes, (Py_ssize_t)b->n);
	return b->bytes;
}

/* Room for a read of up to `limit` bytes: no more than there are. */
static size_t
room_for(const struct input *in, size_t limit)
{
	int64_t length =
	    in->request != NULL ? py.host->info(in->request)->body_length : 0;
	uint64_t left =
	    length < 0 ? GROW_BYTES : (uint64_t)length - in->consumed;

	return left < limit ? (size_t)left : limit;
}

static PyObject *
read_up_to(struct input *in, size_t limit)
{
	struct builder b = { .size = room_for(in, limit) };
	int result = 0;
	pf_str s;

	b.bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)b.size);
	if (b.bytes == NULL)
		return NULL;
	while (b.n < limit && (result = next_slice(in, &s)) > 0) {
		if (s.n > limit - b.n)
			s.n = limit - b.n;
		result = append(&b, s.p, s.n);
		if (result < 0)
			break;
		consume(in, s.n);
	}
	return built(&b, result);
}

static PyObject *
read_line(struct input *in, size_t limit)
{
	struct builder b = { 0 };
	bool whole = false;
	int result = 0;
	pf_str s;

	b.bytes = PyBytes_FromStringAndSize(NULL, 0);
	if (b.bytes == NULL)
		return NULL;
	while (!whole && b.n < limit && (result = next_slice(in, &s)) > 0) {
		const char *end;

		if (s.n > limit - b.n)
			s.n = limit - b.n;
		end = memchr(s.p, '\n', s.n);
		whole = end != NULL;
		if (whole)
			s.n = (size_t)(end - s.p) + 1;
		result = append(&b, s.p, s.n);
		if (result < 0)
			break;
		consume(in, s.n);
	}
	return built(&b, result);
}

/* ---- the methods -------------------------------------------------------- */

/* The one argument of read and its like: None and negative are no limit. */
static int
limit_of(PyObject *const *args, Py_ssize_t n, size_t *limit)
{
	Py_ssize_t value;

	*limit = PY_SSIZE_T_MAX;
	if (n == 0 || (n == 1 && args[0] == Py_None))
		return 0;
	if (n > 1) {
		PyErr_SetString(PyExc_TypeError, "at most one argument");
		return -1;
	}
	value = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
	if (value == -1 && PyErr_Occurred())
		return -1;
	if (value >= 0)
		*limit = (size_t)value;
	return 0;
}

static PyObject *
input_read(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	size_t limit;

	if (limit_of(args, n, &limit) < 0)
		return NULL;
	return read_up_to((struct input *)self, limit);
}

static PyObject *
input_readline(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	size_t limit;

	if (limit_of(args, n, &limit) < 0)
		return NULL;
	return read_line((struct input *)self, limit);
}

/* Lines until their bytes reach the hint. */
static PyObject *
input_readlines(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	PyObject *lines, *line;
	size_t limit, total = 0;

	if (limit_of(args, n, &limit) < 0)
		return NULL;
	if (limit == 0) /* as io.IOBase has it */
		limit = PY_SSIZE_T_MAX;
	lines = PyList_New(0);
	while (lines != NULL && total < limit) {
		line = read_line((struct input *)self, PY_SSIZE_T_MAX);
		n = line != NULL ? PyBytes_GET_SIZE(line) : 0;
		if (line == NULL || (n > 0 && PyList_Append(lines, line) < 0))
			Py_CLEAR(lines);
		Py_XDECREF(line);
		if (n == 0)
			break;
		total += (size_t)n;
	}
	return lines;
}

static PyObject *
input_next(PyObject *self)
{
	PyObject *line = read_line((struct input *)self, PY_SSIZE_T_MAX);

	if (line != NULL && PyBytes_GET_SIZE(line) == 0)
		Py_CLEAR(line); /* without an exception: the end */
	return line;
}

/* ---- the object --------------------------------------------------------- */

PyObject *
input_new(pf_request *req)
{
	struct input *in = PyObject_New(struct input, py.input_type);

	if (in == NULL)
		return NULL;
	in->request = req;
	in->consumed = 0;
	in->waiting = false;
	in->error = 0;
	return (PyObject *)in;
}

int
input_error(PyObject *self)
{
	return ((struct input *)self)->error;
}

void
input_detach(PyObject *self)
{
	static const struct timespec nap = { .tv_nsec = 1000000 };
	struct input *in = (struct input *)self;

	while (in->waiting) /* a thread of the application, against the rules */
		GIL_RELEASED(nanosleep(&nap, NULL));
	in->request = NULL;
}

static void
input_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	PyObject_Free(self);
	Py_DECREF(type);
}

#define FAST(function) ((PyCFunction)(void (*)(void))(function))

int
input_init(void)
{
	static PyMethodDef methods[] = {
		{ "read", FAST(input_read), METH_FASTCALL,
		    "read([size]): bytes; all that is left without size" },
		{ "readline", FAST(input_readline), METH_FASTCALL,
		    "readline([size]): bytes up to a newline and with it" },
		{ "readlines", FAST(input_readlines), METH_FASTCALL,
		    "readlines([hint]): a list of lines" },
		{ 0 },
	};
	static PyType_Slot slots[] = {
		{ Py_tp_doc, (void *)(uintptr_t) "The body of a request." },
		{ Py_tp_methods, methods },
		{ Py_tp_iter, PyObject_SelfIter },
		{ Py_tp_iternext, input_next },
		{ Py_tp_dealloc, input_dealloc },
		{ 0 },
	};
	static PyType_Spec spec = { .name = "prefork.Input",
		.basicsize = sizeof(struct input),
		.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
		.slots = slots };

	py.input_type = (PyTypeObject *)PyType_FromSpec(&spec);
	return py.input_type == NULL ? -1 : 0;
}
