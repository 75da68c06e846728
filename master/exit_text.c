#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "master/exit_text.h"
#include "worker/worker.h"

enum sup_fate
exit_fate(int status)
{
	if (!WIFEXITED(status))
		return FATE_CRASHED;
	switch (WEXITSTATUS(status)) {
	case WORKER_OK: return FATE_CLEAN;
	case WORKER_CANNOT_BOOT: return FATE_CANNOT_BOOT;
	case WORKER_CANNOT_LOAD: return FATE_CANNOT_LOAD;
	default: return FATE_CRASHED;
	}
}

void
exit_text(int status, char *buf, size_t buf_bytes)
{
	const char *name;

	if (WIFEXITED(status)) {
		if (WEXITSTATUS(status) == 0)
			snprintf(buf, buf_bytes, "exited");
		else
			snprintf(buf, buf_bytes, "exited with status %d",
			    WEXITSTATUS(status));
		return;
	}
	name = sigabbrev_np(WTERMSIG(status));
	if (name != NULL)
		snprintf(buf, buf_bytes, "was killed by SIG%s%s", name,
		    WCOREDUMP(status) ? " (core dumped)" : "");
	else
		snprintf(buf, buf_bytes, "was killed by signal %d%s",
		    WTERMSIG(status),
		    WCOREDUMP(status) ? " (core dumped)" : "");
}
