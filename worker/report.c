#include <errno.h>
#include <execinfo.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/heritage.h"
#include "common/log.h"
#include "conf/settings.h"
#include "worker/core.h"
#include "worker/report.h"
#include "worker/request.h"
#include "worker/runner.h"
#include "worker/sandbox.h"

#define LINE_BYTES  768
#define STACK_BYTES 65536 /* of a signal handler */
#define FRAMES_MAX  64

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* <signal.h> does not say it */
#endif

static struct worker *the_worker; /* written before signals are caught */

/* ---- lines, without a lock or memory ------------------------------------- */

struct line {
	size_t n;
	char text[LINE_BYTES];
};

/* Control bytes become ?, so that no client's text can forge a line. */
static void
put(struct line *l, const char *p, size_t n)
{
	for (size_t i = 0; i < n && l->n < sizeof l->text - 1; i++) {
		bool control = (unsigned char)p[i] < 0x20 || p[i] == 0x7f;

		if (control)
			l->text[l->n++] = '?';
		else
			l->text[l->n++] = p[i];
	}
}

static void
put_text(struct line *l, const char *text)
{
	put(l, text, strlen(text));
}

static void
put_number(struct line *l, uint64_t v, unsigned base, int digits)
{
	char out[24];
	int at = sizeof out;

	do {
		out[--at] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v > 0 || (int)sizeof out - at < digits);
	put(l, out + at, sizeof out - (size_t)at);
}

static void
put_seconds(struct line *l, uint64_t ns)
{
	put_number(l, ns / NS_PER_S, 10, 1);
	put_text(l, ".");
	put_number(l, ns % NS_PER_S / NS_PER_MS, 10, 3);
	put_text(l, " s");
}

static void
line_out(struct line *l, int fd)
{
	ssize_t written;

	l->text[l->n++] = '\n';
	written = write(fd, l->text, l->n);
	(void)written; /* there is no other place to complain to */
}

/* ---- what threads are at ------------------------------------------------- */

static void
put_request(struct line *l, const struct pf_request *r)
{
	struct str method = request_str(r, r->head.method);
	struct str target = request_target_logged(r);
	char made[REQUEST_ID_BYTES];
	struct str id = request_id(r, made);

	put_text(l, "app ");
	put_text(l, r->app->settings->name);
	put_text(l, ", ");
	put(l, method.p, method.n);
	put_text(l, " ");
	put(l, target.p, target.n);
	put_text(l, ", for ");
	put_seconds(l, clock_now_ns() - r->run_ns);
	put_text(l, ", id ");
	put(l, id.p, id.n);
}

/*
 * The handler may end while its request is looked at, without a lock, and a
 * signal handler must not wait for anybody.  So it is the loop that waits: a
 * request is freed only when nobody looks.  Whoever looks says so and then
 * reads `inside`; whoever ends sets that to NULL and then, before the request
 * is freed, asks.  All four are in one order, so either the look finds NULL, or
 * the loop finds the look.
 */
static void
write_thread(struct worker *w, const struct runner *t, int fd)
{
	struct line l = { 0 };
	const struct pf_request *r;

	atomic_fetch_add(&w->looking, 1);
	r = atomic_load(&t->inside);
	if (r != NULL) {
		put_text(&l, "thread 0x");
		put_number(&l, (uint64_t)t->id, 16, 16);
		put_text(&l, ": ");
		put_request(&l, r);
		if (pthread_equal(t->id, pthread_self()))
			put_text(&l, " (this thread)");
	}
	atomic_fetch_sub(&w->looking, 1);
	if (r != NULL)
		line_out(&l, fd);
}

void
report_let_go(struct worker *w)
{
	while (atomic_load(&w->looking) != 0)
		sched_yield(); /* for as long as a line takes */
}

/* The baton's lock is held, unless the process dies of what happened. */
static void
write_threads(struct worker *w, int fd)
{
	for (const struct runner *t = w->baton.runners; t != NULL; t = t->next)
		write_thread(w, t, fd);
}

static void
write_stacks(const struct worker *w, int fd)
{
	for (const struct module *m = w->apps.modules; m != NULL; m = m->next)
		if (m->started && m->calls.dump != NULL)
			m->calls.dump(m->state, fd);
}

static void
write_why(const char *why, int fd)
{
	struct line l = { 0 };

	put_text(&l, log_who());
	put_text(&l, " (");
	put_number(&l, (uint64_t)getpid(), 10, 1);
	put_text(&l, ") ");
	put_text(&l, why);
	line_out(&l, fd);
}

static void
hand_in(int sheet)
{
	off_t n = lseek(sheet, 0, SEEK_CUR);
	void *text = mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, sheet, 0);
	ssize_t written;

	if (text != MAP_FAILED) {
		written = write(log_fd(), text, (size_t)n);
		(void)written;
		munmap(text, (size_t)n);
	}
	close(sheet);
}

/*
 * Of a worker that lives on: put down on a sheet of its own, which comes into
 * the log in one write.  Stacks are written word by word, and lines of other
 * threads and workers would stand in the middle.
 */
static void
write_report(struct worker *w, const char *why, int (*lock)(pthread_mutex_t *))
{
	int sheet = memfd_create("report", MFD_CLOEXEC);
	int fd = sheet >= 0 ? sheet : log_fd();

	write_why(why, fd);
	if (lock(&w->baton.lock) == 0) {
		write_threads(w, fd);
		pthread_mutex_unlock(&w->baton.lock);
	}
	write_stacks(w, fd);
	if (sheet >= 0)
		hand_in(sheet);
}

void
report_write(struct worker *w, const char *why)
{
	write_report(w, why, pthread_mutex_lock);
}

/* ---- signals ------------------------------------------------------------- */

/* May have interrupted whoever holds the lock, which is held for microseconds:
 * then the stacks must do. */
static void
on_stand_still(int signo)
{
	int saved = errno;

	(void)signo;
	write_report(the_worker, "stands still", pthread_mutex_trylock);
	errno = saved;
}

static void
put_cause(struct line *l, int signo, const siginfo_t *info)
{
	if (signo == SIGSYS && info->si_code == SYS_SECCOMP) {
		put_text(l, ": the sandbox has no system call ");
		put_text(l, sandbox_call_name(info->si_syscall));
		put_text(l, " (");
		put_number(l, (uint64_t)info->si_syscall, 10, 1);
		put_text(l, ")");
	} else if (info->si_code > 0 && signo != SIGABRT) { /* the kernel's */
		put_text(l, " at 0x");
		put_number(l, (uint64_t)(uintptr_t)info->si_addr, 16, 1);
	}
}

/* Writes as it goes: it may not get to the next line. */
static void
on_fatal(int signo, siginfo_t *info, void *context)
{
	struct line why = { 0 };
	void *frame[FRAMES_MAX];
	const char *name = sigabbrev_np(signo);
	int n, fd = log_fd();

	(void)context;
	put_text(&why, "SIG");
	put_text(&why, name != NULL ? name : "?");
	put_cause(&why, signo, info);
	why.text[why.n] = '\0';
	write_why(why.text, fd);
	/* whoever holds the lock may be the one that crashed */
	write_threads(the_worker, fd);
	write_stacks(the_worker, fd);
	n = backtrace(frame, FRAMES_MAX);
	backtrace_symbols_fd(frame, n, fd);
	raise(signo); /* with the default action, when we return */
}

static void catch (int signo, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction sa = { .sa_sigaction = handler,
		.sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND) };

	sigemptyset(&sa.sa_mask);
	sigaction(signo, &sa, NULL);
}

void
report_install(struct worker *w)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT,
		SIGSYS };
	struct sigaction sa = { .sa_handler = on_stand_still,
		.sa_flags = SA_RESTART | SA_ONSTACK };
	void *frame[1];

	the_worker = w;
	sigemptyset(&sa.sa_mask);
	sigaction(SIGUSR2, &sa, NULL);
	(void)backtrace(frame, 1); /* loads what it needs, now */
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
	for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
		catch (fatal[i], on_fatal);
#else
	(void)fatal; /* the sanitizer has its own */
	(void)catch;
	(void)on_fatal;
#endif
}

void
report_thread_begin(struct runner *t)
{
	stack_t stack = { .ss_size = STACK_BYTES };

	t->id = pthread_self();
	t->signal_stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->signal_stack == MAP_FAILED) {
		t->signal_stack = NULL;
		return;
	}
	stack.ss_sp = t->signal_stack;
	sigaltstack(&stack, NULL);
}

void
report_thread_end(struct runner *t)
{
	stack_t none = { .ss_flags = SS_DISABLE };

	if (t->signal_stack == NULL)
		return;
	sigaltstack(&none, NULL);
	munmap(t->signal_stack, STACK_BYTES);
	t->signal_stack = NULL;
}
