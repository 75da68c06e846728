/* Whom the workers run as. */
#ifndef MASTER_PRIV_H
#define MASTER_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct priv {
	bool drop;         /* false: workers stay who the master is */
	bool no_new_privs; /* nor may programs they start be somebody else */
	char user[256];    /* for initgroups(); empty: the id has no name */
	uid_t uid;
	gid_t gid;
};

/* "" and "" give drop = false.  Names or numbers.  0, or -1 with the reason. */
int priv_lookup(struct priv *, const char *user, const char *group, char *err,
    size_t err_bytes);
/* "user" or "user:group" as an owner of files; "" gives -1 and -1. */
int priv_lookup_owner(const char *owner, uid_t *, gid_t *, char *err,
    size_t err_bytes);

/* Becomes a worker's, without any capability unless that is root.  For good;
 * 0, or -1 with the reason. */
int priv_drop(const struct priv *, char *err, size_t err_bytes);

/* The master's own: what it does not need while it serves is given up, unless
 * its workers are root, too. */
void priv_limit_master(const struct priv *);

#endif
