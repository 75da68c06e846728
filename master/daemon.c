#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "master/daemon.h"

/* The daemon closes the pipe without a byte when it dies. */
_Noreturn static void
wait_for_report(int fd)
{
	unsigned char status = 1;
	ssize_t n;

	do
		n = read(fd, &status, 1);
	while (n < 0 && errno == EINTR);
	_exit(n == 1 ? status : 1);
}

/* The first fork leaves the shell's job, setsid() its session, the second
 * fork gives up the right to a terminal. */
static int
leave_session(int report[2])
{
	pid_t pid = fork();

	if (pid < 0)
		return -1;
	if (pid > 0) {
		fd_close(&report[1]);
		wait_for_report(report[0]);
	}
	fd_close(&report[0]);
	if (setsid() < 0)
		return -1;
	pid = fork();
	if (pid > 0)
		_exit(0);
	return pid < 0 ? -1 : 0;
}

static int
stdio_to_null(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -1;
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
		if (dup2(fd, i) < 0)
			return -1;
	if (fd > STDERR_FILENO)
		fd_close(&fd);
	return 0;
}

int
daemon_start(struct daemon *d)
{
	int report[2];

	if (pipe2(report, O_CLOEXEC) < 0 || leave_session(report) < 0)
		return -1;
	d->report_fd = report[1];
	d->error_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (d->error_fd < 0)
		return -1;
	log_set_fd(d->error_fd);
	return stdio_to_null();
}

void
daemon_shed(struct daemon *d)
{
	fd_close(&d->report_fd);
	if (d->error_fd > STDERR_FILENO)
		fd_close(&d->error_fd);
	d->error_fd = -1;
}

void
daemon_report(struct daemon *d, int status)
{
	unsigned char byte = (unsigned char)status;

	if (d->report_fd >= 0 && write(d->report_fd, &byte, 1) != 1)
		log_warn("cannot report to the shell");
	daemon_shed(d);
}
