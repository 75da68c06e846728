/* Who may run Python: a state for each thread, made once, because making one a
 * request costs more than many a request; and what can be done about a thread
 * that does not come back. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "python.h"

static struct thread *threads;    /* guarded by the GIL */
static _Atomic unsigned n_inside; /* handlers that have or want the GIL */

/* ---- threads ------------------------------------------------------------ */

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct thread *
thread_new(void)
{
	struct thread *t = calloc(1, sizeof *t);

	if (t == NULL)
		return NULL;
	t->state = PyGILState_GetThisThreadState();
	t->is_main = t->state != NULL;
	if (t->state == NULL)
		t->state = PyThreadState_New(py.main->interp);
	if (t->state == NULL) {
		free(t);
		return NULL;
	}
	PyEval_RestoreThread(t->state);
	t->ident = PyThread_get_thread_ident();
	t->next = threads;
	threads = t;
	PyEval_SaveThread();
	return t;
}

static void
unpark(struct thread *t)
{
	Py_CLEAR(t->parked[0]);
	Py_CLEAR(t->parked[1]);
}

static void
forget_names(struct thread *t)
{
	for (size_t i = 0; i < NAME_PLACES; i++) {
		Py_CLEAR(t->other[i].key);
		Py_CLEAR(t->other[i].value);
	}
}

static void
forget_values(struct thread *t)
{
	for (size_t i = 0; i < PF_H_COUNT; i++)
		Py_CLEAR(t->value[i]);
	Py_CLEAR(t->remote_addr);
	Py_CLEAR(t->method);
}

void
thread_free(struct thread *t)
{
	struct thread **at;

	PyEval_RestoreThread(t->state);
	for (at = &threads; *at != t; at = &(*at)->next)
		continue;
	*at = t->next;
	forget_values(t);
	forget_names(t);
	unpark(t);
	if (t->is_main) {
		PyEval_SaveThread();
	} else {
		PyThreadState_Clear(t->state);
		PyThreadState_DeleteCurrent();
	}
	free(t);
}

/* ---- entry and exit ----------------------------------------------------- */

void
gil_enter(struct thread *t, pf_request *req)
{
	/* alone there is nobody to wait for, and the clock is not asked */
	bool alone = atomic_fetch_add(&n_inside, 1) == 0;
	uint64_t began = alone ? 0 : now_ns();

	PyEval_RestoreThread(t->state);
	py.host->lock_waited(req, alone ? 0 : now_ns() - began);
	atomic_fetch_add_explicit(&t->turn, 1, memory_order_relaxed);
	unpark(t);
}

void
gil_leave(struct thread *t)
{
	atomic_fetch_add_explicit(&t->turn, 1, memory_order_relaxed);
	if (t->interrupted) { /* too late: it is not the next request's */
		PyThreadState_SetAsyncExc(t->ident, NULL);
		t->interrupted = false;
	}
	PyEval_SaveThread();
	atomic_fetch_sub(&n_inside, 1);
}

void
gil_unpark(struct thread *t)
{
	PyEval_RestoreThread(t->state);
	unpark(t);
	PyEval_SaveThread();
}

/* ---- interrupting ------------------------------------------------------- */

/* Whoever interrupts needs the GIL, which the loop must not wait for: a thread
 * of its own does. */
#define WANTED_MAX 64

/* What a thread was at: it may be gone. */
struct wanted {
	const struct thread *thread;
	uint64_t turn;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	bool runs, stop;
	unsigned n;
	struct wanted wanted[WANTED_MAX];
} interrupter = { .lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER };

/* Raises RequestTimeout in the thread, if it is still at that request. */
static void
interrupt_turn(const struct wanted *wanted)
{
	for (struct thread *t = threads; t != NULL; t = t->next) {
		if (t != wanted->thread ||
		    atomic_load_explicit(&t->turn, memory_order_relaxed) !=
			wanted->turn)
			continue;
		t->interrupted = true;
		PyThreadState_SetAsyncExc(t->ident, py.timeout);
	}
}

static void *
interrupter_main(void *arg)
{
	PyThreadState *state = PyThreadState_New(py.main->interp);

	(void)arg;
	pthread_mutex_lock(&interrupter.lock);
	while (state != NULL && !interrupter.stop) {
		struct wanted next;

		if (interrupter.n == 0) {
			pthread_cond_wait(&interrupter.changed,
			    &interrupter.lock);
			continue;
		}
		next = interrupter.wanted[--interrupter.n];
		pthread_mutex_unlock(&interrupter.lock);
		PyEval_RestoreThread(state);
		interrupt_turn(&next);
		PyEval_SaveThread();
		pthread_mutex_lock(&interrupter.lock);
	}
	pthread_mutex_unlock(&interrupter.lock);
	return NULL;
}

void
gil_interrupt(void *module, pf_request *req, void *thread)
{
	struct thread *t = thread;
	uint64_t turn = atomic_load(&t->turn);

	(void)module;
	(void)req;
	pthread_mutex_lock(&interrupter.lock);
	if (!interrupter.runs)
		interrupter.runs = pthread_create(&interrupter.thread, NULL,
				       interrupter_main, NULL) == 0;
	if ((turn & 1) != 0 && interrupter.n < WANTED_MAX) {
		interrupter.wanted[interrupter.n++] =
		    (struct wanted){ t, turn };
		pthread_cond_signal(&interrupter.changed);
	}
	pthread_mutex_unlock(&interrupter.lock);
}

/* ---- stacks ------------------------------------------------------------- */

/* As faulthandler has it: needs no GIL, and is fit for a signal handler.  Not
 * exported by every version. */
extern const char *_Py_DumpTracebackThreads(int fd, PyInterpreterState *,
    PyThreadState *) __attribute__((weak));

/* Where it is not: faulthandler does it on a signal. */
static int
faulthandler_register(void)
{
	PyObject *faulthandler = PyImport_ImportModule("faulthandler");
	PyObject *done = NULL, *method = NULL, *args = NULL, *named = NULL;

	if (faulthandler != NULL)
		method = PyObject_GetAttrString(faulthandler, "register");
	if (method != NULL)
		args = Py_BuildValue("(i)", SIGRTMAX - 1);
	if (args != NULL)
		named = Py_BuildValue("{s:i,s:O,s:O}", "file", STDERR_FILENO,
		    "all_threads", Py_True, "chain", Py_False);
	if (named != NULL)
		done = PyObject_Call(method, args, named);
	Py_XDECREF(faulthandler);
	Py_XDECREF(method);
	Py_XDECREF(args);
	Py_XDECREF(named);
	Py_XDECREF(done);
	return done == NULL ? -1 : 0;
}

void
gil_dump(void *module, int fd)
{
	(void)module;
	if (_Py_DumpTracebackThreads != NULL)
		_Py_DumpTracebackThreads(fd, py.main->interp,
		    PyGILState_GetThisThreadState());
	else
		pthread_kill(pthread_self(), SIGRTMAX - 1);
}

int
gil_init(void)
{
	return _Py_DumpTracebackThreads != NULL ? 0 : faulthandler_register();
}

void
gil_end(void)
{
	if (!interrupter.runs)
		return;
	pthread_mutex_lock(&interrupter.lock);
	interrupter.stop = true;
	pthread_cond_signal(&interrupter.changed);
	pthread_mutex_unlock(&interrupter.lock);
	pthread_join(interrupter.thread, NULL);
}
