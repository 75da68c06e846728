/* wsgi.file_wrapper: blocks of a file for whoever iterates; for the server, if
 * it is a plain file, something that the kernel sends by itself. */
#include <fcntl.h>
#include <sys/stat.h>

#include "python.h"

#define BLOCK_BYTES 8192

struct wrapper {
	PyObject_HEAD PyObject *file, *size,
	    *close; /* close: NULL if the file has none */
};

/* Whose bytes are those of their file descriptor: objects of other classes
 * (GzipFile) may have a fileno() of something else. */
static PyObject *plain[3];

/* ---- is it a file? ------------------------------------------------------ */

/* Is it NamedTemporaryFile's?  Whoever has one has imported tempfile. */
static bool
is_temporary(PyObject *file)
{
	PyObject *name = PyUnicode_FromString("tempfile");
	PyObject *module = name != NULL ? PyImport_GetModule(name) : NULL;
	PyObject *type = module != NULL ?
	    PyObject_GetAttrString(module, "_TemporaryFileWrapper") :
	    NULL;
	bool is = type == (PyObject *)Py_TYPE(file);

	PyErr_Clear();
	Py_XDECREF(type);
	Py_XDECREF(module);
	Py_XDECREF(name);
	return is;
}

static bool
is_plain(PyObject *file)
{
	for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
		if ((PyObject *)Py_TYPE(file) == plain[i])
			return true;
	return false;
}

/* The file that this one reads from, without a change on the way: itself, or
 * what a wrapper (Django's File) lends its read() from.  NULL: none. */
static PyObject *
plain_file(PyObject *file)
{
	PyObject *owner = NULL, *read;

	if (is_temporary(file)) {
		owner = PyObject_GetAttrString(file, "file");
	} else {
		read = PyObject_GetAttrString(file, "read");
		if (read != NULL && PyCFunction_Check(read))
			owner = Py_XNewRef(PyCFunction_GET_SELF(read));
		Py_XDECREF(read);
	}
	PyErr_Clear();
	if (owner != NULL && !is_plain(owner))
		Py_CLEAR(owner);
	return owner;
}

/* Where the file stands, which is not where its descriptor does: -1. */
static int64_t
position(PyObject *file)
{
	PyObject *at = PyObject_CallMethod(file, "tell", NULL);
	int64_t offset = at != NULL ? PyLong_AsLongLong(at) : -1;

	Py_XDECREF(at);
	if (offset < 0)
		PyErr_Clear();
	return offset;
}

static int
descriptor(PyObject *file)
{
	int fd = PyObject_AsFileDescriptor(file);

	if (fd < 0)
		PyErr_Clear();
	return fd;
}

static int
send_range(struct start_response *s, int fd, int64_t offset, int64_t length)
{
	int result;

	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* close() may come at once */
	if (fd < 0)
		return 0;
	s->sent += length;
	GIL_RELEASED(result = py.host->sendfile(s->request, fd, offset, length,
			 PF_TAKE_FD));
	if (result == PF_AGAIN)
		GIL_RELEASED(result = py.host->wait_writable(s->request, -1));
	if (result >= 0)
		return 1;
	s->gone = result == PF_ECLOSED || result == PF_ETIMEOUT;
	raise_result(result);
	return -1;
}

static int
send_file(PyObject *file, struct start_response *s)
{
	int fd = descriptor(file);
	int64_t offset = fd >= 0 ? position(file) : -1, length;
	struct stat st;

	if (offset < 0 || s->committed || fstat(fd, &st) < 0 ||
	    !S_ISREG(st.st_mode))
		return 0;
	length = st.st_size > offset ? st.st_size - offset : 0;
	if (s->length >= 0 && s->length < length)
		length = s->length;
	if (start_commit(s, length) < 0)
		return -1;
	return send_range(s, fd, offset, length);
}

int
file_wrapper_send(PyObject *wrapper, struct start_response *s)
{
	PyObject *file = plain_file(((struct wrapper *)wrapper)->file);
	int sent = file != NULL ? send_file(file, s) : 0;

	Py_XDECREF(file);
	return sent;
}

/* ---- the object --------------------------------------------------------- */

static PyObject *
wrapper_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
	static char *names[] = { (char *)(uintptr_t) "filelike",
		(char *)(uintptr_t) "blksize", NULL };
	PyObject *file, *size = NULL;
	struct wrapper *w;

	if (!PyArg_ParseTupleAndKeywords(args, named, "O|O!:file_wrapper",
		names, &file, &PyLong_Type, &size))
		return NULL;
	w = (struct wrapper *)type->tp_alloc(type, 0);
	if (w == NULL)
		return NULL;
	w->file = Py_NewRef(file);
	w->size = size != NULL ? Py_NewRef(size) : PyLong_FromLong(BLOCK_BYTES);
	w->close = PyObject_GetAttrString(file, "close");
	if (w->close == NULL)
		PyErr_Clear();
	if (w->size == NULL) {
		Py_DECREF(w);
		return NULL;
	}
	return (PyObject *)w;
}

static PyObject *
wrapper_next(PyObject *self)
{
	struct wrapper *w = (struct wrapper *)self;
	PyObject *block = PyObject_CallMethod(w->file, "read", "O", w->size);
	int more = block != NULL ? PyObject_IsTrue(block) : 0;

	if (more <= 0)
		Py_CLEAR(block); /* without an exception: the end */
	return block;
}

static int
wrapper_traverse(PyObject *self, visitproc visit, void *arg)
{
	struct wrapper *w = (struct wrapper *)self;

	Py_VISIT(Py_TYPE(self));
	Py_VISIT(w->file);
	Py_VISIT(w->close);
	return 0;
}

static int
wrapper_clear(PyObject *self)
{
	struct wrapper *w = (struct wrapper *)self;

	Py_CLEAR(w->file);
	Py_CLEAR(w->size);
	Py_CLEAR(w->close);
	return 0;
}

static void
wrapper_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	PyObject_GC_UnTrack(self);
	wrapper_clear(self);
	type->tp_free(self);
	Py_DECREF(type);
}

static int
class_of(const char *module, const char *name, PyObject **out)
{
	PyObject *m = PyImport_ImportModule(module);

	*out = m != NULL ? PyObject_GetAttrString(m, name) : NULL;
	Py_XDECREF(m);
	return *out == NULL ? -1 : 0;
}

int
file_wrapper_init(void)
{
	static PyMemberDef members[] = {
		{ "filelike", T_OBJECT_EX, offsetof(struct wrapper, file),
		    READONLY, NULL },
		{ "close", T_OBJECT_EX, offsetof(struct wrapper, close),
		    READONLY, "of the file; absent if it has none" },
		{ 0 },
	};
	static PyType_Slot slots[] = {
		{ Py_tp_doc,
		    (void *)(uintptr_t) "file_wrapper(filelike, blksize=8192): "
					"the file, to be returned" },
		{ Py_tp_new, wrapper_new },
		{ Py_tp_members, members },
		{ Py_tp_iter, PyObject_SelfIter },
		{ Py_tp_iternext, wrapper_next },
		{ Py_tp_traverse, wrapper_traverse },
		{ Py_tp_clear, wrapper_clear },
		{ Py_tp_dealloc, wrapper_dealloc },
		{ 0 },
	};
	static PyType_Spec spec = { .name = "prefork.FileWrapper",
		.basicsize = sizeof(struct wrapper),
		.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
		.slots = slots };

	if (class_of("io", "BufferedReader", &plain[0]) < 0 ||
	    class_of("io", "BufferedRandom", &plain[1]) < 0 ||
	    class_of("io", "FileIO", &plain[2]) < 0)
		return -1;
	py.wrapper_type = (PyTypeObject *)PyType_FromSpec(&spec);
	return py.wrapper_type == NULL ? -1 : 0;
}
