/*
 * What the threads of this worker are at, written to the error log: when a
 * handler is over its time, when the master finds that the worker stands still
 * (SIGUSR2), and before a fatal signal ends it.
 *
 *   worker 1 (4711) SIGSEGV at 0x0
 *   thread 0x00007f61c8ff96c0: app shop, GET /cart, for 0.312 s, id 5e21...
 *       (this thread)
 *   ...
 *   and then what each module has to say of its stacks
 */
#ifndef WORKER_REPORT_H
#define WORKER_REPORT_H

struct runner;
struct worker;

/* Signals are caught from here on.  Before applications are loaded. */
void report_install(struct worker *);

/* A stack for the handlers of this thread's signals, should its own be full.
 * In the thread itself. */
void report_thread_begin(struct runner *);
void report_thread_end(struct runner *);

/* In any thread that holds neither the baton's lock nor one that a module may
 * want. */
void report_write(struct worker *, const char *why);

/* The loop, about to free a request: until no report looks at one. */
void report_let_go(struct worker *);

#endif
