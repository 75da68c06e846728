#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "worker/core.h"
#include "worker/report.h"
#include "worker/request.h"
#include "worker/runner.h"

/*
 * /proc/self/task/TID/schedstat: ns on a CPU, ns waiting for one, time slices.
 * The second figure is why it is read and not the thread's CPU clock: on a busy
 * machine a computing thread waits for its turn most of the time, and would
 * pass for one that waits for a database.
 */
static int
schedstat_open(void)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/self/task/%ld/schedstat",
	    syscall(SYS_gettid));
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Where there is no schedstat. */
static bool
cpu_clock_ns(const struct runner *t, uint64_t *busy_ns)
{
	struct timespec now;

	if (!t->has_cpu_clock || clock_gettime(t->cpu_clock, &now) < 0)
		return false;
	*busy_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
	return true;
}

bool
runner_busy_ns(const struct runner *t, uint64_t *busy_ns)
{
	char buf[96], *end;
	ssize_t n;
	uint64_t cpu, delay;

	n = pread(t->schedstat_fd, buf, sizeof buf - 1, 0);
	if (n <= 0)
		return cpu_clock_ns(t, busy_ns);
	buf[n] = '\0';
	cpu = strtoull(buf, &end, 10);
	delay = strtoull(end, NULL, 10);
	if (cpu == 0) /* a kernel that does not count says 0 0 0 */
		return cpu_clock_ns(t, busy_ns);
	*busy_ns = cpu + delay;
	return true;
}

struct runner *
runner_new(struct baton *b, bool is_main)
{
	struct runner *t = calloc(1, sizeof *t);
	unsigned n_modules = b->worker->apps.n_modules;

	if (t == NULL)
		return NULL;
	t->baton = b;
	t->is_main = is_main;
	t->schedstat_fd = -1;
	t->modules = calloc(n_modules + 1, sizeof *t->modules);
	if (t->modules == NULL) {
		runner_free(t);
		return NULL;
	}
	return t;
}

void
runner_begin(struct runner *t)
{
	report_thread_begin(t);
	t->schedstat_fd = schedstat_open();
	t->has_cpu_clock =
	    pthread_getcpuclockid(pthread_self(), &t->cpu_clock) == 0;
}

bool
runner_module_state(struct runner *t, struct pf_request *r, void **state)
{
	struct module *m = r->app->module;
	struct runner_module *mine = &t->modules[m->index];

	if (!atomic_load_explicit(&mine->started, memory_order_relaxed)) {
		if (m->calls.thread_init != NULL &&
		    m->calls.thread_init(m->state, &mine->state) != 0)
			return false;
		atomic_store_explicit(&mine->started, true,
		    memory_order_release);
	}
	*state = mine->state;
	return true;
}

void
runner_at_lock(struct runner *t, const struct pf_request *r)
{
	bool waits = atomic_load_explicit(&r->app->module->tells_lock,
	    memory_order_relaxed);

	atomic_store_explicit(&t->at_lock_since_ns, waits ? r->run_ns : 0,
	    memory_order_relaxed);
}

void
runner_past_lock(struct runner *t, const struct pf_request *r)
{
	atomic_bool *tells = &r->app->module->tells_lock;

	atomic_store_explicit(&t->at_lock_since_ns, 0, memory_order_relaxed);
	if (!atomic_load_explicit(tells, memory_order_relaxed))
		atomic_store_explicit(tells, true, memory_order_relaxed);
}

void
runner_free(struct runner *t)
{
	struct module *m = t->baton->worker->apps.modules;

	for (; t->modules != NULL && m != NULL; m = m->next) {
		struct runner_module *mine = &t->modules[m->index];

		if (atomic_load(&mine->started) && m->calls.thread_fini != NULL)
			m->calls.thread_fini(m->state, mine->state);
	}
	report_thread_end(t);
	fd_close(&t->schedstat_fd);
	free(t->modules);
	free(t);
}
