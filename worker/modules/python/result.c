/* What the application returned, to the client. */
#include <stdlib.h>
#include <string.h>

#include "python.h"

/* Of a body of `size` bytes; -1: not known, since an empty answer to HEAD says
 * nothing about GET's. */
static int64_t
length_of(const struct start_response *s, int64_t size)
{
	if (size == 0 && (py.host->info(s->request)->flags & PF_RF_HEAD) != 0)
		return -1;
	return size;
}

/* ---- lists -------------------------------------------------------------- */

/* What a list or tuple holds now: another thread may change a list while its
 * bytes are on their way.  A new reference; NULL: it is neither, or, with an
 * exception, no memory. */
static PyObject *
snapshot(PyObject *result)
{
	if (PyTuple_CheckExact(result))
		return Py_NewRef(result);
	return PyList_CheckExact(result) ? PyList_AsTuple(result) : NULL;
}

static pf_buf
buf_of(PyObject *bytes)
{
	return (pf_buf){ .p = PyBytes_AS_STRING(bytes),
		.n = (size_t)PyBytes_GET_SIZE(bytes) };
}

/* false: not all of them are bytes, or there are too many. */
static bool
take_blocks(struct one_go *go)
{
	Py_ssize_t n = PyTuple_GET_SIZE(go->owner);

	for (Py_ssize_t i = 0; i < n; i++) {
		PyObject *block = PyTuple_GET_ITEM(go->owner, i);

		if (!PyBytes_CheckExact(block) || go->n == ONE_GO_MAX)
			return false;
		go->buf[go->n] = buf_of(block);
		go->size += (int64_t)go->buf[go->n++].n;
	}
	return true;
}

bool
result_in_one_go(PyObject *result, const struct start_response *s,
    struct one_go *go)
{
	*go = (struct one_go){ 0 };
	if (!s->standard_reason || s->committed)
		return false;
	go->owner = snapshot(result);
	if (go->owner != NULL && take_blocks(go) &&
	    (s->length < 0 ? length_of(s, go->size) >= 0 :
			     s->length == go->size))
		return true;
	PyErr_Clear(); /* no memory: the long way may do with less */
	Py_CLEAR(go->owner);
	return false;
}

/* All of a tuple at once: 1; 0: not all of it is bytes; -1. */
static int
send_tuple(PyObject *tuple, struct start_response *s)
{
	Py_ssize_t n = PyTuple_GET_SIZE(tuple);
	int64_t size = 0;
	pf_buf *bufs;
	int result;

	for (Py_ssize_t i = 0; i < n; i++) {
		if (!PyBytes_CheckExact(PyTuple_GET_ITEM(tuple, i)))
			return 0;
		size += PyBytes_GET_SIZE(PyTuple_GET_ITEM(tuple, i));
	}
	bufs = PyMem_Malloc((size_t)(n + 1) * sizeof *bufs);
	if (bufs == NULL) {
		PyErr_NoMemory();
		return -1;
	}
	for (Py_ssize_t i = 0; i < n; i++)
		bufs[i] = buf_of(PyTuple_GET_ITEM(tuple, i));
	result = start_commit(s, length_of(s, size));
	if (result == 0)
		result = start_write(s, bufs, (size_t)n);
	PyMem_Free(bufs);
	return result < 0 ? -1 : 1;
}

/* ---- everything else ---------------------------------------------------- */

static int
send_block(PyObject *block, struct start_response *s, int64_t length)
{
	pf_buf buf;

	if (!PyBytes_Check(block)) {
		PyErr_Format(PyExc_TypeError,
		    "the application returned %.100s where bytes are due",
		    Py_TYPE(block)->tp_name);
		return -1;
	}
	if (PyBytes_GET_SIZE(block) == 0)
		return 0;
	if (!s->committed && start_commit(s, length) < 0)
		return -1;
	buf = buf_of(block);
	return start_write(s, &buf, 1);
}

/* Of an iterable that says it has one block, that block is all. */
static bool
has_one_block(PyObject *result)
{
	const PySequenceMethods *methods = Py_TYPE(result)->tp_as_sequence;
	Py_ssize_t n = -1;

	if (methods != NULL && methods->sq_length != NULL)
		n = methods->sq_length(result);
	if (n < 0)
		PyErr_Clear();
	return n == 1;
}

static int
send_blocks(PyObject *result, struct start_response *s)
{
	bool single = has_one_block(result);
	PyObject *blocks = PyObject_GetIter(result), *block;
	int bad = blocks == NULL ? -1 : 0;

	while (
	    bad == 0 && !s->enough && (block = PyIter_Next(blocks)) != NULL) {
		bad = send_block(block, s,
		    single && PyBytes_Check(block) ? PyBytes_GET_SIZE(block) :
						     -1);
		Py_DECREF(block);
	}
	Py_XDECREF(blocks);
	return bad == 0 && PyErr_Occurred() ? -1 : bad;
}

/* Not a file, and not iterated byte by byte. */
static int
send_text_error(PyObject *result)
{
	PyErr_Format(PyExc_TypeError,
	    "the application returned %.100s, not an iterable of bytes",
	    Py_TYPE(result)->tp_name);
	return -1;
}

static int
send_any(PyObject *result, struct start_response *s)
{
	PyObject *tuple;
	int sent = 0;

	if (PyUnicode_Check(result))
		return send_text_error(result);
	if (PyBytes_Check(result)) /* one block, as the peers take it */
		return send_block(result, s, PyBytes_GET_SIZE(result));
	if (Py_TYPE(result) == py.wrapper_type) {
		sent = file_wrapper_send(result, s);
	} else if (!s->committed && (tuple = snapshot(result)) != NULL) {
		sent = send_tuple(tuple, s);
		Py_DECREF(tuple);
	}
	if (sent == 0 && PyErr_Occurred())
		return -1;
	if (sent != 0)
		return sent < 0 ? -1 : 0;
	return send_blocks(result, s);
}

int
result_send(PyObject *result, struct start_response *s)
{
	if (send_any(result, s) < 0)
		return -1;
	return s->committed ? 0 : start_commit(s, length_of(s, 0));
}

/* ---- the end ------------------------------------------------------------ */

/* Bytes; NULL: out of memory. */
static PyObject *
exception_text(PyObject *kind, PyObject *value, PyObject *trace)
{
	PyObject *bytes = PyObject_CallMethod(py.bootstrap, "exception_text",
	    "OOO", kind, value != NULL ? value : Py_None,
	    trace != NULL ? trace : Py_None);

	if (bytes == NULL)
		PyErr_Clear();
	return bytes;
}

void
result_log_exception(const struct start_response *s, const char *what)
{
	pf_str text = PF_STR("no memory for its traceback\n");
	PyObject *kind, *value, *trace, *bytes;

	PyErr_Fetch(&kind, &value, &trace);
	PyErr_NormalizeException(&kind, &value, &trace);
	bytes = exception_text(kind, value, trace);
	if (bytes != NULL)
		text = (pf_str){ .p = PyBytes_AS_STRING(bytes),
			.n = (size_t)PyBytes_GET_SIZE(bytes) };
	log_request_text(s->app, s->request, PF_LOG_ERROR, what, text);
	Py_XDECREF(bytes);
	Py_XDECREF(kind);
	Py_XDECREF(value);
	Py_XDECREF(trace);
}

void
result_close(PyObject *result, const struct start_response *s)
{
	static PyObject *name; /* of the interpreter, as long as it */
	PyObject *close, *done;

	if (name == NULL)
		name = PyUnicode_InternFromString("close");
	if (name == NULL || PyList_CheckExact(result) ||
	    PyTuple_CheckExact(result) || PyBytes_Check(result))
		return;
	close = PyObject_GetAttr(result, name);
	if (close == NULL) {
		PyErr_Clear();
		return;
	}
	done = PyObject_CallNoArgs(close);
	if (done == NULL)
		result_log_exception(s, "exception in close()");
	Py_XDECREF(done);
	Py_DECREF(close);
}
