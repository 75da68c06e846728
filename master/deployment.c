#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "conf/load.h"
#include "conf/settings.h"
#include "master/deployment.h"
#include "master/listen.h"
#include "master/priv.h"

/* What the kernel keeps for clients that do not take it, if there are as many
 * as all workers may have together; for one not too much, nor so little that a
 * file is sent in crumbs. */
#define UNSENT_ALL (512u << 20)
#define UNSENT_MAX (256u << 10)
#define UNSENT_MIN (32u << 10)

static int
unsent_bytes(const struct settings *s)
{
	uint64_t clients = (uint64_t)s->workers * s->connections;
	uint64_t share = UNSENT_ALL / (clients > 0 ? clients : 1);

	if (share < UNSENT_MIN)
		share = UNSENT_MIN;
	return (int)(share < UNSENT_MAX ? share : UNSENT_MAX);
}

/* Unless they are given an owner, unix sockets are the workers'. */
static int
listen_options(struct listen_options *out, const struct deployment *d,
    char *err, size_t err_bytes)
{
	const struct settings *s = d->settings;

	*out = (struct listen_options){ .backlog = (int)s->backlog,
		.unsent_bytes = unsent_bytes(s),
		.mode = (mode_t)s->socket_mode,
		.uid = d->priv->uid,
		.gid = d->priv->gid };
	if (s->socket_owner[0] == '\0' && d->priv->drop)
		return 0;
	return priv_lookup_owner(s->socket_owner, &out->uid, &out->gid, err,
	    err_bytes);
}

int
deployment_has(const struct deployment *d, const struct listener *l)
{
	for (size_t i = 0; i < d->n_listeners; i++)
		if (d->listeners[i] == l)
			return 1;
	return 0;
}

/* A socket of another generation for this address, each given out once. */
static struct listener *
find_shared(const struct deployment *d, const struct deployment *old,
    const struct bind_address *b)
{
	for (; old != NULL; old = old->next)
		for (size_t i = 0; i < old->n_listeners; i++)
			if (listener_is_for(old->listeners[i], b) &&
			    !deployment_has(d, old->listeners[i]))
				return old->listeners[i];
	return NULL;
}

/* Does a PROXY header begin its connections, as these settings have it? */
static bool
is_proxied(const struct settings *s, const struct listener *l)
{
	const struct bind_list *some = &s->proxy_protocol.some;

	for (size_t i = 0; i < some->n; i++)
		if (listener_is_for(l, &some->at[i]))
			return true;
	return s->proxy_protocol.all;
}

void
deployment_add(struct deployment *d, struct listener *l)
{
	d->listeners[d->n_listeners] = l;
	d->inherited[d->n_listeners++] =
	    (struct heritage_listener){ .fd = listener_fd(l),
		    .spec = listener_spec(l),
		    .listens = listener_listens(l),
		    .proxied = is_proxied(d->settings, l) };
}

/* NULL, with the reason.  A reload may go from 0.0.0.0 to 127.0.0.1, or back:
 * the port is ours already. */
static struct listener *
open_new(const struct deployment *old, const struct bind_address *b,
    const struct listen_options *options, char *err, size_t err_bytes)
{
	struct listen_options these = *options;

	for (; old != NULL; old = old->next)
		for (size_t i = 0; i < old->n_listeners; i++) {
			if (!listener_overlaps(old->listeners[i], b))
				continue;
			listener_share(old->listeners[i]);
			these.beside = true;
		}
	return listener_open(b, &these, err, err_bytes);
}

static int
open_listeners(struct deployment *d, const struct deployment *old, char *err,
    size_t err_bytes)
{
	const struct bind_list *bind = &d->settings->bind;
	struct listen_options options;
	char why[256];

	if (listen_options(&options, d, err, err_bytes) < 0)
		return -1;
	for (size_t i = 0; i < bind->n; i++) {
		struct listener *l = find_shared(d, old, &bind->at[i]);

		if (l != NULL)
			listener_ref(l);
		else
			l = open_new(old, &bind->at[i], &options, why,
			    sizeof why);
		if (l == NULL) {
			snprintf(err, err_bytes, "cannot listen on %s: %s",
			    bind->at[i].spec, why);
			return -1;
		}
		deployment_add(d, l);
	}
	return 0;
}

void
deployment_stop_listening(struct deployment *d)
{
	while (d->n_listeners > 0)
		listener_unref(&d->listeners[--d->n_listeners]);
}

void
deployment_free(struct deployment **dp)
{
	struct deployment *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	deployment_stop_listening(d);
	free(d->listeners);
	free(d->inherited);
	logs_close(&d->logs);
	if (!d->keeps_settings)
		settings_free(&d->settings);
	free(d);
}

struct deployment *
deployment_empty(struct settings *settings, const struct priv *priv, size_t n)
{
	struct deployment *d = calloc(1, sizeof *d);

	if (d == NULL)
		return NULL;
	d->priv = priv;
	d->logs = LOGS_NONE;
	d->listeners = calloc(n, sizeof(struct listener *));
	d->inherited = calloc(n, sizeof *d->inherited);
	if (d->listeners == NULL || d->inherited == NULL) {
		deployment_free(&d);
		return NULL;
	}
	d->settings = settings;
	return d;
}

struct deployment *
deployment_new(struct settings *settings, const struct deployment *old,
    const struct priv *priv, char *err, size_t err_bytes)
{
	struct deployment *d =
	    deployment_empty(settings, priv, settings->bind.n);

	if (d == NULL) {
		snprintf(err, err_bytes, "%m");
		settings_free(&settings);
		return NULL;
	}
	if (open_listeners(d, old, err, err_bytes) == 0 &&
	    logs_open(&d->logs, settings, priv, err, err_bytes) == 0)
		return d;
	deployment_free(&d);
	return NULL;
}

struct sup_conf
deployment_conf(const struct deployment *d)
{
	return (struct sup_conf){ .want = d->settings->workers,
		.boot_timeout = d->settings->boot_timeout_ms,
		.grace = d->settings->graceful_timeout_ms,
		.delay = d->settings->shutdown_delay_ms };
}

void
deployment_settle(struct deployment *d)
{
	struct listen_options options;
	char err[256];

	if (listen_options(&options, d, err, sizeof err) < 0) {
		log_warnx("owner of the sockets: %s", err);
		return;
	}
	for (size_t i = 0; i < d->n_listeners; i++) {
		listener_settle(d->listeners[i], &options);
		d->inherited[i].listens = listener_listens(d->listeners[i]);
	}
}
