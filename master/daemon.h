/*
 * -d: the shell gets its prompt back when the first generation serves, and the
 * exit status and the error text when it does not.
 */
#ifndef MASTER_DAEMON_H
#define MASTER_DAEMON_H

struct daemon {
	int report_fd; /* to the process that waits in the shell; -1: nobody */
	int error_fd;  /* where errors of the start go; -1: not any more */
};

/* In the foreground: errors of the start go to stderr. */
#define DAEMON_NOT ((struct daemon){ .report_fd = -1, .error_fd = 2 })

/* The start is long over. */
#define DAEMON_DONE ((struct daemon){ .report_fd = -1, .error_fd = -1 })

/* Returns in the daemon; the calling process waits and exits.  Standard input,
 * output and error become /dev/null.  -1 and errno. */
int daemon_start(struct daemon *);
/* The start is over; status is what the waiting process exits with. */
void daemon_report(struct daemon *, int status);

/* In a child, which has nothing to report. */
void daemon_shed(struct daemon *);

#endif
