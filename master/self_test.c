#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "master/activation.h"
#include "master/image.h"
#include "master/master.h"
#include "master/self_test.h"
#include "master/signals.h"

#define EXIT_NO_PROGRAM 127
/* -t -c FILE -- TARGET, the program itself, and the NULL. */
#define ARGUMENTS_OTHER 7

/* ---- how it is called ---------------------------------------------------- */

/* Not the command line of our own start: its names may have been relative to a
 * directory that we left.  The caller frees the array. */
static const char **
arguments(const struct master *m, bool test)
{
	const struct settings_source *source = &m->source;
	const char **list =
	    calloc(2 * source->n_opts + ARGUMENTS_OTHER, sizeof *list);
	size_t n = 0;

	if (list == NULL)
		return NULL;
	list[n++] = m->upgrade.program;
	if (test)
		list[n++] = "-t";
	if (source->file != NULL) {
		list[n++] = "-c";
		list[n++] = source->file;
	}
	for (size_t i = 0; i < source->n_opts; i++) {
		list[n++] = "-o";
		list[n++] = source->opts[i];
	}
	if (source->target != NULL) {
		list[n++] = "--";
		list[n++] = source->target;
	}
	return list;
}

struct variables {
	char *own[1 + ACTIVATION_VARIABLES + NOTIFY_VARIABLES];
	size_t n_own;
	char **all; /* the environment, then our own, then NULL */
};

static void
variables_free(struct variables *v)
{
	for (size_t i = 0; i < v->n_own; i++)
		free(v->own[i]);
	free(v->all);
}

/* 0, or -1 and errno; variables_free() either way. */
static int
variables_make(struct variables *v, const struct master *m, int state_fd,
    bool test)
{
	size_t n = 0;

	*v = (struct variables){ 0 };
	if (asprintf(&v->own[0], "%s=%d", IMAGE_VARIABLE, state_fd) < 0)
		return -1;
	v->n_own = 1;
	v->n_own += activation_variables(v->own + v->n_own);
	if (!test) /* the manager has no business with a test */
		v->n_own += notify_variables(&m->notify, v->own + v->n_own);
	while (environ[n] != NULL)
		n++;
	v->all = calloc(n + v->n_own + 1, sizeof *v->all);
	if (v->all == NULL)
		return -1;
	memcpy(v->all, environ, n * sizeof *v->all);
	memcpy(v->all + n, v->own, v->n_own * sizeof *v->all);
	return 0;
}

void
self_exec(const struct master *m, int state_fd, bool test)
{
	const char **list = arguments(m, test);
	struct variables v;
	union {
		const char **list;
		char **argv; /* as execve() has it; it changes nothing */
	} cast = { .list = list };

	if (variables_make(&v, m, state_fd, test) == 0 && list != NULL)
		execve(m->upgrade.program, cast.argv, v.all);
	variables_free(&v);
	free(list);
}

/* ---- the test ------------------------------------------------------------ */

/* In the child, between fork and exec. */
_Noreturn static void
become_test(struct master *m, int state_fd, int out_fd, const sigset_t *mask)
{
	setpgid(0, 0); /* whatever it starts can be killed with it */
	signals_stop(m->loop);
	activation_keep(true);
	if (dup2(out_fd, STDOUT_FILENO) >= 0 &&
	    dup2(out_fd, STDERR_FILENO) >= 0 &&
	    fcntl(state_fd, F_SETFD, 0) == 0) {
		pthread_sigmask(SIG_SETMASK, mask, NULL);
		self_exec(m, state_fd, true);
	}
	dprintf(out_fd, "cannot run %s: %m\n", m->upgrade.program);
	_exit(EXIT_NO_PROGRAM);
}

pid_t
self_test_start(struct master *m, int state_fd, int *out_fd)
{
	int out[2];
	sigset_t all, was;
	pid_t pid;

	*out_fd = -1;
	if (pipe2(out, O_CLOEXEC) < 0)
		return -1;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &was);
	pid = fork();
	if (pid == 0)
		become_test(m, state_fd, out[1], &was);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	fd_close(&out[1]);
	if (pid < 0 || fd_set_nonblocking(out[0]) < 0) {
		fd_close(&out[0]);
		return -1;
	}
	setpgid(pid, pid); /* whoever comes first */
	*out_fd = out[0];
	return pid;
}
