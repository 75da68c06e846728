/*
 * A generation as the master holds it: settings, listeners, logs.  A reload
 * makes a new one beside the old; nothing of the old is touched until the new
 * one is committed.
 */
#ifndef MASTER_DEPLOYMENT_H
#define MASTER_DEPLOYMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/heritage.h"
#include "master/logs.h"
#include "master/supervisor.h"

struct listener;
struct priv;

struct deployment {
	struct deployment *next;
	unsigned generation;
	struct settings *settings;
	bool keeps_settings;     /* they are not freed with it */
	const struct priv *priv; /* the master's */
	struct listener **listeners;
	struct heritage_listener *inherited; /* the same, as workers see them */
	size_t n_listeners;
	struct logs logs;
};

/* Takes the settings over, on failure too.  Sockets of `old` and those
 * behind it in the list that are still wanted are shared.  NULL, with the
 * reason in err. */
struct deployment *deployment_new(struct settings *,
    const struct deployment *old, const struct priv *, char *err,
    size_t err_bytes);
void deployment_free(struct deployment **);

/* Room for n listeners and nothing else in it; takes the settings over on
 * success.  NULL and errno. */
struct deployment *deployment_empty(struct settings *, const struct priv *,
    size_t n);
/* Takes the listener over; there is room for it. */
void deployment_add(struct deployment *, struct listener *);
/* Its workers keep their copies until they have emptied the queues. */
void deployment_stop_listening(struct deployment *);

struct sup_conf deployment_conf(const struct deployment *);
/* It serves from now on: applies what its sockets share with the old one. */
void deployment_settle(struct deployment *);
int deployment_has(const struct deployment *, const struct listener *);

#endif
