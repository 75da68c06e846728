#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/fd.h"
#include "conf/settings.h"
#include "master/check.h"
#include "master/exit_text.h"
#include "master/listen.h"
#include "master/priv.h"
#include "master/spawn.h"
#include "worker/worker.h"

#define ERR_BYTES CHANNEL_TEXT_MAX

static int
check_users(const struct settings *s, struct priv *priv)
{
	char err[256];
	uid_t uid;
	gid_t gid;
	int bad = 0;

	if (priv_lookup(priv, s->user, s->group, err, sizeof err) < 0) {
		fprintf(stderr, "prefork: server.user: %s\n", err);
		bad++;
	}
	if (priv_lookup_owner(s->socket_owner, &uid, &gid, err, sizeof err) <
	    0) {
		fprintf(stderr, "prefork: server.socket_owner: %s\n", err);
		bad++;
	}
	priv->no_new_privs = s->no_new_privs;
	/* Anybody may test; the start itself needs root. */
	if (geteuid() != 0)
		priv->drop = false;
	return bad;
}

static int
check_addresses(const struct settings *s)
{
	char err[256];
	int bad = 0;

	for (size_t i = 0; i < s->bind.n; i++) {
		if (listener_check(&s->bind.at[i], err, sizeof err) == 0)
			continue;
		fprintf(stderr, "prefork: cannot listen on %s: %s\n",
		    s->bind.at[i].spec, err);
		bad++;
	}
	return bad;
}

/* In a child of its own: a module may crash, hang, or leave threads. */
_Noreturn static void
load_applications(const struct settings *s, const struct priv *priv, int out)
{
	char err[ERR_BYTES] = "";
	int status = WORKER_CANNOT_BOOT;
	ssize_t written;

	if (spawn_set_environment(s) == 0 &&
	    priv_drop(priv, err, sizeof err) == 0)
		status = worker_check(s, err, sizeof err);
	written = write(out, err, strnlen(err, sizeof err));
	_exit(written < 0 ? WORKER_CANNOT_BOOT : status);
}

/* All that the child writes before it ends; -1: it takes too long. */
static int
read_report(int fd, uint64_t timeout_ms, char *report, size_t bytes)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int limit = timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms;
	ssize_t n;

	if (poll(&p, 1, limit) <= 0)
		return -1;
	n = read(fd, report, bytes - 1);
	report[n > 0 ? n : 0] = '\0';
	return 0;
}

static int
judge(pid_t pid, int in_time, const char *report)
{
	char how[64];
	int status;

	if (!in_time)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	exit_text(status, how, sizeof how);
	if (!in_time)
		fprintf(stderr,
		    "prefork: loading the applications takes "
		    "longer than server.boot_timeout\n");
	else if (report[0] != '\0')
		fprintf(stderr, "prefork: %s\n", report);
	else
		fprintf(stderr, "prefork: loading the applications %s\n", how);
	return exit_fate(status) == FATE_CANNOT_LOAD ? WORKER_CANNOT_LOAD : 1;
}

static int
check_applications(const struct settings *s, const struct priv *priv)
{
	char report[ERR_BYTES] = "";
	int out[2], in_time;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		fprintf(stderr, "prefork: cannot start a process: %m\n");
		return 1;
	}
	if (pid == 0) {
		close(out[0]);
		load_applications(s, priv, out[1]);
	}
	fd_close(&out[1]);
	in_time =
	    read_report(out[0], s->boot_timeout_ms, report, sizeof report) == 0;
	fd_close(&out[0]);
	return judge(pid, in_time, report);
}

int
check_run(const struct settings *s, const char *name)
{
	struct priv priv;
	int bad = check_users(s, &priv), status;

	umask((mode_t)s->umask);
	if (s->chdir[0] != '\0' && chdir(s->chdir) < 0) {
		fprintf(stderr, "prefork: server.chdir = %s: %m\n", s->chdir);
		return 1;
	}
	bad += check_addresses(s);
	if (bad > 0)
		return 1;
	status = check_applications(s, &priv);
	if (status == 0)
		fprintf(stderr, "%s: ok\n", name);
	return status;
}
