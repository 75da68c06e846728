#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/log.h"
#include "master/caps.h"
#include "master/priv.h"

/* 0, or -1: text is not a number that can be an id. */
static int
parse_id(const char *text, unsigned *out)
{
	char *end;
	unsigned long n;

	if (text[0] < '0' || text[0] > '9')
		return -1;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (*end != '\0' || errno != 0 || n >= (unsigned)-1)
		return -1;
	*out = (unsigned)n;
	return 0;
}

static int
lookup_user(struct priv *p, const char *name, char *err, size_t err_bytes)
{
	bool numeric = parse_id(name, &p->uid) == 0;
	const struct passwd *found;

	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the master has no threads */
	found = numeric ? getpwuid(p->uid) : getpwnam(name);
	if (found != NULL) {
		p->uid = found->pw_uid;
		p->gid = found->pw_gid;
		snprintf(p->user, sizeof p->user, "%s", found->pw_name);
		return 0;
	}
	p->gid = (gid_t)-1;
	if (numeric)
		return 0;
	snprintf(err, err_bytes, "there is no user %s", name);
	return -1;
}

static int
lookup_group(const char *name, gid_t *gid, char *err, size_t err_bytes)
{
	const struct group *found;

	if (parse_id(name, gid) == 0)
		return 0;
	/* The other one wants to be told how long a group is.
	 * NOLINTNEXTLINE(concurrency-mt-unsafe): the master has no threads */
	found = getgrnam(name);
	if (found == NULL) {
		snprintf(err, err_bytes, "there is no group %s", name);
		return -1;
	}
	*gid = found->gr_gid;
	return 0;
}

int
priv_lookup(struct priv *p, const char *user, const char *group, char *err,
    size_t err_bytes)
{
	*p = (struct priv){ .uid = geteuid(), .gid = getegid() };
	if (user[0] == '\0' && group[0] == '\0')
		return 0;
	p->drop = true;
	if (user[0] != '\0' && lookup_user(p, user, err, err_bytes) < 0)
		return -1;
	if (group[0] != '\0')
		return lookup_group(group, &p->gid, err, err_bytes);
	if (p->gid != (gid_t)-1)
		return 0;
	snprintf(err, err_bytes, "user %s has no name, so group must be set",
	    user);
	return -1;
}

int
priv_lookup_owner(const char *owner, uid_t *uid, gid_t *gid, char *err,
    size_t err_bytes)
{
	struct priv p = { 0 };
	char user[256];
	size_t n = strcspn(owner, ":");

	*uid = (uid_t)-1;
	*gid = (gid_t)-1;
	if (n >= sizeof user) {
		snprintf(err, err_bytes, "name too long");
		return -1;
	}
	memcpy(user, owner, n);
	user[n] = '\0';
	if (n > 0) {
		if (lookup_user(&p, user, err, err_bytes) < 0)
			return -1;
		*uid = p.uid;
	}
	return owner[n] == ':' ?
	    lookup_group(owner + n + 1, gid, err, err_bytes) :
	    0;
}

/* Groups first, while we still may. */
static int
set_ids(const struct priv *p)
{
	if (p->user[0] != '\0' ? initgroups(p->user, p->gid) < 0 :
				 setgroups(1, &p->gid) < 0)
		return -1;
	if (setresgid(p->gid, p->gid, p->gid) < 0)
		return -1;
	return setresuid(p->uid, p->uid, p->uid);
}

/* The kernel said yes; see that it did. */
static bool
is_dropped(const struct priv *p)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (getresuid(&r, &e, &s) < 0 || getresgid(&rg, &eg, &sg) < 0)
		return false;
	if (r != p->uid || e != p->uid || s != p->uid || rg != p->gid ||
	    eg != p->gid || sg != p->gid)
		return false;
	return p->uid == 0 || (setuid(0) < 0 && seteuid(0) < 0);
}

static int
switch_account(const struct priv *p, char *err, size_t err_bytes)
{
	if (set_ids(p) < 0) {
		snprintf(err, err_bytes, "cannot become user %u, group %u: %m",
		    (unsigned)p->uid, (unsigned)p->gid);
		return -1;
	}
	if (is_dropped(p))
		return 0;
	snprintf(err, err_bytes, "still not user %u, group %u",
	    (unsigned)p->uid, (unsigned)p->gid);
	return -1;
}

/* Without no_new_privs, programs such as sudo are to work. */
int
priv_drop(const struct priv *p, char *err, size_t err_bytes)
{
	if (p->uid != 0 && p->no_new_privs)
		caps_bound_none(); /* while we still may */
	if (p->drop && switch_account(p, err, err_bytes) < 0)
		return -1;
	if (p->uid != 0 && caps_clear() < 0) {
		snprintf(err, err_bytes, "cannot give up capabilities: %m");
		return -1;
	}
	if (p->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		snprintf(err, err_bytes, "cannot set no_new_privs: %m");
		return -1;
	}
	return 0;
}

void
priv_limit_master(const struct priv *p)
{
	if (p->uid == 0)
		return;
	if (p->no_new_privs)
		caps_bound_masters();
	if (caps_keep_masters() < 0)
		log_warn("cannot give up capabilities");
}
