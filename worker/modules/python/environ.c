/* struct pf_info as the environ of PEP 3333. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "python.h"

/* What does not change from request to request; copied for each. */
struct environ_template {
	struct environ_template *next;
	const char *server_addr; /* the listener's own bytes: its identity */
	uint16_t server_port;
	bool by_host; /* the listener has no name: the Host header gives it */
	PyObject *dict;
};

/* Entries a request usually ends with: a copy keeps the size of its table, so
 * that adding to it need not make a larger one. */
#define TEMPLATE_ENTRIES 40
#if PY_VERSION_HEX >= 0x030d0000
extern PyObject *_PyDict_NewPresized(Py_ssize_t);
#endif
#pragma weak _PyDict_NewPresized

/* clang-format off */
#define KEYS(KEY)                                                              \
	KEY(REQUEST_METHOD) KEY(SCRIPT_NAME) KEY(PATH_INFO)                    \
	KEY(QUERY_STRING) KEY(REQUEST_URI) KEY(RAW_URI)                        \
	KEY(CONTENT_TYPE) KEY(CONTENT_LENGTH)                                  \
	KEY(SERVER_NAME) KEY(SERVER_PORT) KEY(SERVER_PROTOCOL)                 \
	KEY(SERVER_SOFTWARE) KEY(REMOTE_ADDR) KEY(REMOTE_PORT)
/* clang-format on */

static struct {
#define KEY(name) PyObject *name;
	KEYS(KEY)
#undef KEY
	PyObject *input, *url_scheme;
	PyObject *header[PF_H_COUNT]; /* NULL: not for applications */
	PyObject *http10, *http11, *empty, *get, *post, *root;
} names;

/* ---- made once ---------------------------------------------------------- */

/* HTTP_X_NAME for x-name, in out, which has room for n + 5 bytes. */
static void
header_key(const char *name, size_t n, char *out)
{
	static const char prefix[5] = { 'H', 'T', 'T', 'P', '_' };

	memcpy(out, prefix, sizeof prefix);
	for (size_t i = 0; i < n; i++) {
		bool lower = name[i] >= 'a' && name[i] <= 'z';

		out[5 + i] = name[i];
		if (name[i] == '-')
			out[5 + i] = '_';
		else if (lower)
			out[5 + i] &= '\x5f';
	}
}

static int
intern(PyObject **out, const char *text)
{
	*out = PyUnicode_InternFromString(text);
	return *out == NULL ? -1 : 0;
}

static int
intern_headers(void)
{
	static const char *const name[PF_H_COUNT] = {
#define PF_HEADER(identifier, name) [PF_H_##identifier] = name,
#include <prefork/headers.def>
#undef PF_HEADER
	};
	char key[64] = "";

	for (size_t i = 1; i < PF_H_COUNT; i++) {
		size_t n = strlen(name[i]);

		header_key(name[i], n, key);
		key[n + 5] = '\0';
		if (intern(&names.header[i], key) < 0)
			return -1;
	}
	/* CONTENT_TYPE and CONTENT_LENGTH have no prefix; the body is decoded:
	 * how it was encoded is nobody's business any more */
	Py_CLEAR(names.header[PF_H_CONTENT_LENGTH]);
	Py_CLEAR(names.header[PF_H_TRANSFER_ENCODING]);
	Py_CLEAR(names.header[PF_H_TRAILER]);
	Py_SETREF(names.header[PF_H_CONTENT_TYPE],
	    Py_NewRef(names.CONTENT_TYPE));
	return 0;
}

int
environ_init(void)
{
	int bad = 0;

#define KEY(name) bad |= intern(&names.name, #name);
	KEYS(KEY)
#undef KEY
	bad |= intern(&names.input, "wsgi.input");
	bad |= intern(&names.url_scheme, "wsgi.url_scheme");
	bad |= intern(&names.http10, "HTTP/1.0");
	bad |= intern(&names.http11, "HTTP/1.1");
	bad |= intern(&names.empty, "");
	bad |= intern(&names.get, "GET");
	bad |= intern(&names.post, "POST");
	bad |= intern(&names.root, "/");
	return bad != 0 ? -1 : intern_headers();
}

/* ---- values ------------------------------------------------------------- */

static bool
is_ascii(const char *p, size_t n)
{
	uint64_t seen = 0, word;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&word, p, 8);
		seen |= word;
	}
	for (; n > 0; p++, n--)
		seen |= (unsigned char)*p;
	return (seen & 0x8080808080808080u) == 0;
}

PyObject *
latin1(const char *p, size_t n)
{
	PyObject *text;

	if (n == 0 && names.empty != NULL)
		return Py_NewRef(names.empty);
	text = PyUnicode_New((Py_ssize_t)n, is_ascii(p, n) ? 127 : 255);
	if (text != NULL)
		memcpy(PyUnicode_1BYTE_DATA(text), p, n);
	return text;
}

/* Is it a str of exactly these bytes? */
static bool
is_text(PyObject *text, const char *p, size_t n)
{
	return text != NULL && (size_t)PyUnicode_GET_LENGTH(text) == n &&
	    memcmp(PyUnicode_1BYTE_DATA(text), p, n) == 0;
}

/* As latin1; the same object as last time if the bytes are the same.
 * Borrowed from *last, but for a long one, which the caller must release. */
static PyObject *
remembered(PyObject **last, pf_str s)
{
	PyObject *text;

	if (is_text(*last, s.p, s.n))
		return Py_NewRef(*last);
	text = latin1(s.p, s.n);
	if (text != NULL && s.n <= VALUE_BYTES_MAX)
		Py_XSETREF(*last, Py_NewRef(text));
	return text;
}

/* Takes the value over; -1 also when it is NULL. */
static int
put(PyObject *dict, PyObject *key, PyObject *value)
{
	int result = value != NULL ? PyDict_SetItem(dict, key, value) : -1;

	Py_XDECREF(value);
	return result;
}

static PyObject *
number(uint64_t n)
{
	char text[24];

	return latin1(text,
	    (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)n));
}

/* ---- the template ------------------------------------------------------- */

/* Of what the application is told once and for all. */
static int
put_constants(const struct wsgi_app *app, PyObject *d)
{
	const struct {
		const char *key;
		PyObject *value;
	} constant[] = {
		{ "wsgi.version", Py_BuildValue("(ii)", 1, 0) },
		{ "wsgi.errors",
		    PyObject_GetAttrString(py.bootstrap, "errors") },
		{ "wsgi.multithread", PyBool_FromLong(app->multithread) },
		{ "wsgi.multiprocess", PyBool_FromLong(app->multiprocess) },
		{ "wsgi.run_once", PyBool_FromLong(false) },
		{ "wsgi.input_terminated", PyBool_FromLong(true) },
		{ "wsgi.file_wrapper", Py_NewRef((PyObject *)py.wrapper_type) },
		{ "wsgi.url_scheme", PyUnicode_InternFromString("http") },
		{ "SERVER_SOFTWARE",
		    PyUnicode_FromString("prefork/" PREFORK_VERSION) },
	};
	int bad = 0;

	for (size_t i = 0; i < sizeof constant / sizeof constant[0]; i++) {
		PyObject *key = PyUnicode_InternFromString(constant[i].key);

		bad |= key == NULL || put(d, key, constant[i].value) < 0;
		Py_XDECREF(key);
	}
	return bad ? -1 : 0;
}

static bool
is_wildcard(pf_str s)
{
	return (s.n == 7 && memcmp(s.p, "0.0.0.0", 7) == 0) ||
	    (s.n == 2 && memcmp(s.p, "::", 2) == 0);
}

static struct environ_template *
template_new(const struct wsgi_app *app, const pf_info *info)
{
	struct environ_template *t = calloc(1, sizeof *t);

	if (t == NULL)
		return NULL;
	t->server_addr = info->server_addr.p;
	t->server_port = info->server_port;
	t->by_host =
	    (info->flags & PF_RF_UNIX) != 0 || is_wildcard(info->server_addr);
	t->dict = _PyDict_NewPresized != NULL ?
	    _PyDict_NewPresized(TEMPLATE_ENTRIES) :
	    PyDict_New();
	if (t->dict == NULL || put_constants(app, t->dict) < 0 ||
	    put(t->dict, names.SCRIPT_NAME,
		latin1(info->path.p, info->mount_len)) < 0 ||
	    put(t->dict, names.SERVER_NAME,
		latin1(info->server_addr.p, info->server_addr.n)) < 0 ||
	    put(t->dict, names.SERVER_PORT, number(info->server_port)) < 0) {
		Py_XDECREF(t->dict);
		free(t);
		return NULL;
	}
	return t;
}

/* NULL and an exception. */
static struct environ_template *
template_of(struct wsgi_app *app, const pf_info *info)
{
	struct environ_template *t = app->templates;

	while (t != NULL &&
	    (t->server_addr != info->server_addr.p ||
		t->server_port != info->server_port))
		t = t->next;
	if (t != NULL)
		return t;
	t = template_new(app, info);
	if (t == NULL) {
		if (!PyErr_Occurred())
			PyErr_NoMemory();
		return NULL;
	}
	t->next = app->templates;
	app->templates = t;
	return t;
}

void
environ_templates_free(struct wsgi_app *app)
{
	struct environ_template *t;

	while ((t = app->templates) != NULL) {
		app->templates = t->next;
		Py_DECREF(t->dict);
		free(t);
	}
}

/* ---- headers ------------------------------------------------------------ */

/* The place of a header without a number, with its key; NULL and an
 * exception. */
static struct known_name *
known_name(struct thread *t, pf_str name)
{
	struct known_name *k;
	char key[NAME_BYTES_MAX + 5];
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < name.n; i++)
		hash = (hash ^ (unsigned char)name.p[i]) * 16777619u;
	k = &t->other[(hash >> 8) % NAME_PLACES];
	if (k->key != NULL && k->n == name.n &&
	    memcmp(k->name, name.p, name.n) == 0)
		return k;
	header_key(name.p, name.n, key);
	Py_CLEAR(k->value);
	Py_XSETREF(k->key, latin1(key, name.n + 5));
	if (k->key == NULL)
		return NULL;
	memcpy(k->name, name.p, name.n);
	k->n = name.n;
	return k;
}

static PyObject *
long_name_key(pf_str name)
{
	char *key = PyMem_Malloc(name.n + 5);
	PyObject *text = NULL;

	if (key == NULL)
		return PyErr_NoMemory();
	header_key(name.p, name.n, key);
	text = latin1(key, name.n + 5);
	PyMem_Free(key);
	return text;
}

/* A field that comes again is joined to what came before (RFC 9110 5.3). */
static int
put_joined(PyObject *d, PyObject *key, PyObject *value, uint16_t id)
{
	PyObject *before = PyDict_GetItemWithError(d, key);
	PyObject *joined;

	if (before == NULL)
		return PyErr_Occurred() ? -1 : PyDict_SetItem(d, key, value);
	joined = PyUnicode_FromFormat(id == PF_H_COOKIE ? "%U; %U" : "%U, %U",
	    before, value);
	return put(d, key, joined);
}

static int
put_header(PyObject *d, struct thread *t, const pf_header *h)
{
	PyObject *key, *value, **last = NULL, *own = NULL;
	struct known_name *k;
	int result;

	if (h->id != PF_H_OTHER) {
		key = names.header[h->id];
		if (key == NULL)
			return 0;
		last = &t->value[h->id];
	} else if (h->name.n <= NAME_BYTES_MAX) {
		k = known_name(t, h->name);
		if (k == NULL)
			return -1;
		key = k->key;
		last = &k->value;
	} else {
		key = own = long_name_key(h->name);
		if (key == NULL)
			return -1;
	}
	value = last != NULL ? remembered(last, h->value) :
			       latin1(h->value.p, h->value.n);
	result = value == NULL ? -1 :
	    (h->flags & PF_HF_REPEATED) != 0 ?
				 put_joined(d, key, value, h->id) :
				 PyDict_SetItem(d, key, value);
	Py_XDECREF(value);
	Py_XDECREF(own);
	return result;
}

/* ---- the request -------------------------------------------------------- */

static PyObject *
method_text(struct thread *t, pf_str m)
{
	if (m.n == 3 && memcmp(m.p, "GET", 3) == 0)
		return Py_NewRef(names.get);
	if (m.n == 4 && memcmp(m.p, "POST", 4) == 0)
		return Py_NewRef(names.post);
	return remembered(&t->method, m);
}

static PyObject *
path_text(const char *p, size_t n)
{
	return n == 1 && *p == '/' ? Py_NewRef(names.root) : latin1(p, n);
}

static int
put_target(PyObject *d, const pf_info *info)
{
	PyObject *target = path_text(info->target.p, info->target.n);

	if (target == NULL ||
	    PyDict_SetItem(d, names.REQUEST_URI, target) < 0) {
		Py_XDECREF(target);
		return -1;
	}
	return put(d, names.RAW_URI, target);
}

/* A body of known length has one, however it came; nothing came: nothing is
 * said, unless the client did. */
static int
put_content_length(PyObject *d, const pf_info *info, bool told)
{
	if (info->body_length < 0 || (info->body_length == 0 && !told))
		return 0;
	return put(d, names.CONTENT_LENGTH,
	    number((uint64_t)info->body_length));
}

static int
put_headers(PyObject *d, struct thread *t, const pf_info *info)
{
	bool told = false;

	for (size_t i = 0; i < info->n_headers; i++) {
		const pf_header *h = &info->headers[i];

		if (h->id == PF_H_CONTENT_LENGTH ||
		    h->id == PF_H_TRANSFER_ENCODING)
			told = true;
		else if (put_header(d, t, h) < 0)
			return -1;
	}
	return put_content_length(d, info, told);
}

/* SERVER_NAME and SERVER_PORT of a listener that answers to any name, or to
 * none: what the client called us. */
static int
put_server_by_host(PyObject *d, const pf_info *info)
{
	const char *colon = memrchr(info->host.p, ':', info->host.n);
	const char *end = info->host.p + info->host.n;
	bool https = info->scheme.n == 5;
	pf_str name = info->host;

	if (colon != NULL && memchr(colon, ']', (size_t)(end - colon)) == NULL)
		name.n = (size_t)(colon - name.p);
	else
		colon = NULL;
	if (name.n == 0)
		name = (pf_str)PF_STR("localhost");
	if (put(d, names.SERVER_NAME, latin1(name.p, name.n)) < 0)
		return -1;
	if ((info->flags & PF_RF_UNIX) == 0)
		return 0;
	if (colon != NULL && end - colon > 1)
		return put(d, names.SERVER_PORT,
		    latin1(colon + 1, (size_t)(end - colon) - 1));
	return put(d, names.SERVER_PORT, number(https ? 443 : 80));
}

static int
put_server(PyObject *d, const struct environ_template *t, const pf_info *info)
{
	if (info->scheme.n != 4 &&
	    put(d, names.url_scheme, latin1(info->scheme.p, info->scheme.n)) <
		0)
		return -1;
	return t->by_host ? put_server_by_host(d, info) : 0;
}

static int
put_client(PyObject *d, struct thread *t, const pf_info *info)
{
	if (put(d, names.REMOTE_ADDR,
		remembered(&t->remote_addr, info->remote_addr)) < 0)
		return -1;
	if (info->remote_port == 0) /* a unix socket, or a proxy said none */
		return 0;
	return put(d, names.REMOTE_PORT, number(info->remote_port));
}

static int
fill(PyObject *d, struct thread *t, const pf_info *info)
{
	const char *path = info->path.p + info->mount_len;
	size_t path_n = info->path.n - info->mount_len;

	if (put(d, names.REQUEST_METHOD, method_text(t, info->method)) < 0 ||
	    put(d, names.PATH_INFO, path_text(path, path_n)) < 0 ||
	    put(d, names.QUERY_STRING, latin1(info->query.p, info->query.n)) <
		0 ||
	    put_target(d, info) < 0 || put_client(d, t, info) < 0 ||
	    put_headers(d, t, info) < 0)
		return -1;
	return PyDict_SetItem(d, names.SERVER_PROTOCOL,
	    info->http_minor == 0 ? names.http10 : names.http11);
}

PyObject *
environ_new(struct wsgi_app *app, struct thread *t, const pf_info *info,
    PyObject *input)
{
	const struct environ_template *template = template_of(app, info);
	PyObject *d = template != NULL ? PyDict_Copy(template->dict) : NULL;

	if (d == NULL)
		return NULL;
	if (fill(d, t, info) < 0 || put_server(d, template, info) < 0 ||
	    PyDict_SetItem(d, names.input, input) < 0)
		Py_CLEAR(d);
	return d;
}
