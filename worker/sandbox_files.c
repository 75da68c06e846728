#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/fd.h"
#include "conf/settings.h"
#include "worker/sandbox_parts.h"

#define MAY_READ  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define MAY_SPOOL (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

/* Rights are bits, and versions of Landlock add some at the upper end: how many
 * there are, by version.  All are refused but where a rule grants them. */
static const unsigned n_rights[] = { 0, 13, 14, 15, 15, 16 };

static int
abi(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
}

int
sandbox_files_check(void)
{
	return abi() > 0 ? 0 : -1;
}

static int
ruleset_new(void)
{
	int most = sizeof n_rights / sizeof n_rights[0] - 1, version = abi();
	struct landlock_ruleset_attr attr = { 0 };

	if (version < 1)
		return -1;
	if (version > most)
		version = most;
	attr.handled_access_fs = (UINT64_C(1) << n_rights[version]) - 1;
	return (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
}

static int
allow(int ruleset, const char *path, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = rights,
		.parent_fd = open(path, O_PATH | O_CLOEXEC),
	};
	long result;
	int fd = rule.parent_fd;

	if (fd < 0)
		return -1;
	result = syscall(SYS_landlock_add_rule, ruleset,
	    LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	fd_close(&fd);
	return (int)result;
}

/* A rule is about an inode, and /proc makes another one for the same process
 * when it likes: not while somebody has it open. */
static int
allow_own_proc(int ruleset)
{
	static int kept = -1;

	if (kept < 0)
		kept = open("/proc/self", O_PATH | O_CLOEXEC);
	return allow(ruleset, "/proc/self", LANDLOCK_ACCESS_FS_READ_FILE);
}

static int
allow_all(int ruleset, const struct settings *s, const char **path)
{
	*path = "/proc/self"; /* how busy threads are, how large the worker */
	if (allow_own_proc(ruleset) < 0)
		return -1;
	*path = s->body_dir;
	if (allow(ruleset, s->body_dir, MAY_SPOOL) < 0)
		return -1;
	for (size_t i = 0; i < s->n_apps; i++) {
		*path = s->apps[i].target;
		if (s->apps[i].type == APP_STATIC &&
		    allow(ruleset, *path, MAY_READ) < 0)
			return -1;
	}
	*path = NULL;
	return 0;
}

int
sandbox_files(const struct settings *s, const char **path)
{
	int fd = ruleset_new();
	long result;

	if (fd < 0)
		return -1;
	result = allow_all(fd, s, path);
	if (result == 0)
		result = syscall(SYS_landlock_restrict_self, fd, 0);
	fd_close(&fd);
	return (int)result;
}
