/*
 * python: WSGI applications (PEP 3333) on CPython, one interpreter per worker.
 *
 *   module.c          the table prefork knows: worker, apps, threads
 *   interpreter.c     starts and ends CPython: configuration, venv, sys.path
 *   bootstrap.py      what is easier in Python: finds applications, keeps
 *                     printed lines whole, ends threads
 *   gil.c             who may run Python: states of threads, entry, interrupt
 *   fork.c            from a template to its workers
 *   wsgi.c            one request, from environ to the end of the response
 *   environ.c         struct pf_info as a dict
 *   input.c           wsgi.input
 *   start_response.c  start_response and write
 *   result.c          what the application returned, to the client
 *   file_wrapper.c    wsgi.file_wrapper, and which of them is a file
 *
 * Whatever is declared here is called with the GIL held unless it says
 * otherwise.  Functions that return a PyObject * or -1 leave an exception.
 */
#ifndef PYTHON_PYTHON_H
#define PYTHON_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <prefork/module.h>

/* Header names that have no number of their own: remembered, by a hash of their
 * bytes, for as long as no other takes the place. */
#define NAME_PLACES    64
#define NAME_BYTES_MAX 56
/* Longer values are not remembered. */
#define VALUE_BYTES_MAX 256

/* A header's name as a key of environ, and the last value it had. */
struct known_name {
	char name[NAME_BYTES_MAX]; /* as received */
	size_t n;
	PyObject *key, *value;
};

/* What a thread keeps from request to request. */
struct thread {
	PyThreadState *state;
	bool is_main;
	/* Of the request it serves: odd while it does.  Written with the GIL
	 * held, so that whoever interrupts does not hit the next one. */
	_Atomic uint64_t turn;
	bool interrupted;    /* during this turn */
	struct thread *next; /* of all there are; the GIL guards the list */
	unsigned long ident;
	/* The last value of each well-known header, by its id. */
	PyObject *value[PF_H_COUNT];
	struct known_name other[NAME_PLACES];
	PyObject *remote_addr, *method;
	/* Of the response that went out last: released with the GIL of the next
	 * request, because a response is sent without it. */
	PyObject *parked[2];
};

/* One [app:NAME]. */
struct wsgi_app {
	pf_app *app;
	PyObject *callable;
	struct environ_template *templates; /* one a listener */
	bool multithread, multiprocess;
};

/* The interpreter and what is made once in it. */
struct python {
	const pf_host *host;
	PyThreadState *main;
	PyObject *bootstrap; /* the module of bootstrap.py */
	PyObject *timeout;   /* prefork.RequestTimeout */
	PyTypeObject *input_type, *start_type, *wrapper_type;
	char *venv;   /* of the first app; "": none */
	bool testing; /* prefork -t: the operator reads what is refused */
};
extern struct python py;

/* ---- interpreter.c ------------------------------------------------------ */

/* Starts CPython for this app; -1 after pf_host.fail.  Without the GIL; holds
 * it when it returns 0. */
int interpreter_start(pf_app *);
/* The app's pythonpath and, if it is not there, the working directory. */
int interpreter_add_paths(pf_app *);
/* Ends threads and runs exit functions; memory is the kernel's to free. */
void interpreter_end(void);
/* pf_host.fail with `doing` and the text of the pending exception, which it
 * clears; -1. */
int interpreter_refuse(pf_app *, const char *doing);

/* ---- gil.c -------------------------------------------------------------- */

/* Without the GIL.  NULL: out of memory. */
struct thread *thread_new(void);
void thread_free(struct thread *);
/* Without the GIL; holds it on return, and a turn of the thread begins. */
void gil_enter(struct thread *, pf_request *);
void gil_leave(struct thread *);
/* Without the GIL: releases what gil_enter() would. */
void gil_unpark(struct thread *);
/* Around something that takes its time. */
#define GIL_RELEASED(statement)                                                \
	do {                                                                   \
		PyThreadState *released_ = PyEval_SaveThread();                \
		statement;                                                     \
		PyEval_RestoreThread(released_);                               \
	} while (0)
/* pf_module.interrupt and dump; without the GIL. */
void gil_interrupt(void *module, pf_request *, void *thread);
void gil_dump(void *module, int fd);
int gil_init(void);
void gil_end(void); /* without the GIL */

/* ---- fork.c ------------------------------------------------------------- */

/* pf_module.before_fork and so on; without the GIL, which is held from the
 * first to the second. */
void fork_before(void *module);
void fork_after_parent(void *module);
int fork_after_child(void *module);

/* ---- wsgi.c ------------------------------------------------------------- */

/* pf_module.on_request; without the GIL. */
void wsgi_request(void *app, pf_request *, void *thread);
/* A line in the error log that begins with the request. */
void log_request(const struct wsgi_app *, pf_request *, int level,
    const char *what);
/* ... and with whole lines of text below it. */
void log_request_text(const struct wsgi_app *, pf_request *, int level,
    const char *what, pf_str below);

/* ---- environ.c ---------------------------------------------------------- */

int environ_init(void);
PyObject *environ_new(struct wsgi_app *, struct thread *, const pf_info *,
    PyObject *input);
void environ_templates_free(struct wsgi_app *);
/* Bytes as a str of the same code points (ISO-8859-1). */
PyObject *latin1(const char *, size_t);

/* ---- input.c ------------------------------------------------------------ */

int input_init(void);
PyObject *input_new(pf_request *);
/* Why the body ended before it was complete: enum pf_result, or 0. */
int input_error(PyObject *);
/* The request is over: whoever kept the object gets errors from it. */
void input_detach(PyObject *);

/* ---- start_response.c --------------------------------------------------- */

#define START_INLINE 24 /* headers without an allocation */

struct start_response {
	PyObject_HEAD vectorcallfunc call;
	struct wsgi_app *app;
	pf_request *request; /* NULL when it is over */
	unsigned status;     /* 0: not called yet */
	bool standard_reason;
	pf_str reason;
	PyObject *status_text; /* owns reason */
	size_t n;              /* headers */
	size_t n_held;
	pf_header *headers; /* inline_headers, or ours */
	PyObject **held;    /* own their bytes: inline_held, or ours */
	int64_t length;     /* Content-Length; -1: not given */
	int64_t sent;       /* body bytes */
	bool busy;          /* in a call without the GIL */
	bool committed;     /* the head is prefork's */
	bool gone;          /* the client left: nobody wants the rest */
	bool enough;        /* no more is sent, whatever follows */
	pf_header inline_headers[START_INLINE];
	PyObject *inline_held[START_INLINE];
};

int start_init(void);
struct start_response *start_new(struct wsgi_app *, pf_request *);
/* The head, with this length if the application gave none (-1: not known). */
int start_commit(struct start_response *, int64_t length);
/* Body bytes, after the head; what is beyond Content-Length is dropped, and
 * `enough` is set, as it is by HEAD.  -1 and an exception; when the client is
 * gone, `gone` is set. */
int start_write(struct start_response *, const pf_buf *, size_t n);
/* The request is over: whoever kept the object gets errors from it. */
void start_detach(struct start_response *);
/* Until a thread of the application, against the rules, is out of write(). */
void start_settle(const struct start_response *);
/* The exception for an error of a function of the host. */
void raise_result(int result);

/* ---- result.c ----------------------------------------------------------- */

/* A whole body in a few pieces: it can be sent without the GIL. */
#define ONE_GO_MAX 8

struct one_go {
	PyObject *owner; /* of the bytes: a tuple */
	pf_buf buf[ONE_GO_MAX];
	size_t n;
	int64_t size;
};
bool result_in_one_go(PyObject *result, const struct start_response *,
    struct one_go *);
/* Everything else: block by block. -1 and an exception. */
int result_send(PyObject *result, struct start_response *);
/* Calls its close(), if it has one; an exception of it is logged. */
void result_close(PyObject *result, const struct start_response *);
/* The pending exception, which is cleared. */
void result_log_exception(const struct start_response *, const char *what);

/* ---- file_wrapper.c ----------------------------------------------------- */

int file_wrapper_init(void);
/* 1: sent with sendfile; 0: it is no regular file, iterate; -1. */
int file_wrapper_send(PyObject *wrapper, struct start_response *);

#endif
