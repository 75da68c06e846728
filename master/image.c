#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "conf/load.h"
#include "conf/settings.h"
#include "master/image.h"
#include "master/master.h"
#include "master/state.h"

#define LISTENERS_MAX 64
#define NUMBER_BASE   10
#define SEALS         (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* ---- what is in it, saved and loaded alike ------------------------------- */

static void
priv_image(struct priv *p, struct state *s)
{
	char *user = p->user;

	state_bool(s, "priv.drop", &p->drop);
	state_unsigned(s, "priv.uid", &p->uid, UINT32_MAX);
	state_unsigned(s, "priv.gid", &p->gid, UINT32_MAX);
	state_text(s, "priv.user", &user);
	if (s->saving || user == NULL)
		return;
	snprintf(p->user, sizeof p->user, "%s", user);
	free(user);
}

static void
listener_image(struct listener_image *l, struct state *s)
{
	state_fd(s, "listener.fd", &l->fd);
	state_text(s, "listener.wanted", &l->wanted);
	state_text(s, "listener.spec", &l->spec);
	state_bool(s, "listener.tcp", &l->tcp);
	state_bool(s, "listener.borrowed", &l->borrowed);
	state_text(s, "listener.path", &l->path);
	state_number(s, "listener.dev", &l->dev);
	state_number(s, "listener.ino", &l->ino);
}

static void
child_image(struct image_child *c, struct state *s)
{
	state_unsigned(s, "child.slot", &c->slot, SUP_SLOTS_MAX - 1);
	state_bounded(s, "child.pid", &c->pid, INT32_MAX);
	state_unsigned(s, "child.generation", &c->generation, UINT32_MAX);
	state_fd(s, "child.channel", &c->channel_fd);
	state_bool(s, "child.leaving", &c->leaving);
	state_bool(s, "child.killed", &c->killed);
	state_bool(s, "child.ready", &c->ready);
	state_bounded(s, "child.stall_timeout", &c->stall_timeout_ms,
	    INT64_MAX);
}

static void
control_image(struct control_image *c, struct state *s)
{
	state_fd(s, "control.fd", &c->fd);
	state_text(s, "control.path", &c->path);
	state_number(s, "control.dev", &c->dev);
	state_number(s, "control.ino", &c->ino);
	state_unsigned(s, "control.clients", &c->n_clients,
	    CONTROL_CLIENTS_MAX);
	for (unsigned n = 0; n < c->n_clients; n++) {
		state_fd(s, "client.fd", &c->client[n].fd);
		state_bool(s, "client.waits", &c->client[n].waits);
	}
}

/* *list becomes an array of n elements when it is loaded. */
static void
list_image(struct state *s, const char *name, unsigned *n, unsigned max,
    void **list, size_t bytes)
{
	state_unsigned(s, name, n, max);
	if (s->saving)
		return;
	*list = calloc((size_t)*n + 1, bytes);
	if (*list != NULL)
		return;
	*n = 0;
	state_wrong(s, name, "out of memory");
}

static void
lists_image(struct image *i, struct state *s)
{
	void *list = i->listener;

	list_image(s, "listeners", &i->n_listeners, LISTENERS_MAX, &list,
	    sizeof *i->listener);
	i->listener = list;
	for (unsigned n = 0; n < i->n_listeners; n++)
		listener_image(&i->listener[n], s);
	list = i->child;
	list_image(s, "children", &i->n_children, SUP_SLOTS_MAX, &list,
	    sizeof *i->child);
	i->child = list;
	for (unsigned n = 0; n < i->n_children; n++)
		child_image(&i->child[n], s);
}

static void
image_image(struct image *i, struct state *s)
{
	unsigned version = IMAGE_VERSION;

	state_unsigned(s, "version", &version, UINT32_MAX);
	if (version != IMAGE_VERSION)
		state_wrong(s, "version", "is of another layout than ours");
	state_text(s, "program", &i->program);
	state_bounded(s, "pid", &i->pid, INT32_MAX);
	state_unsigned(s, "serving", &i->serving, UINT32_MAX);
	state_unsigned(s, "last_generation", &i->last_generation, UINT32_MAX);
	state_bool(s, "is_daemon", &i->is_daemon);
	state_bool(s, "log_is_startup", &i->log_is_startup);
	priv_image(&i->priv, s);
	state_fd(s, "pidfile.fd", &i->pidfile.fd);
	state_text(s, "pidfile.path", &i->pidfile.path);
	state_fd(s, "scoreboard", &i->scoreboard_fd);
	state_fd(s, "log.error", &i->logs.error_fd);
	state_fd(s, "log.access", &i->logs.access_fd);
	control_image(&i->control, s);
	state_text(s, "settings.first", &i->first);
	state_text(s, "settings.serving", &i->settings);
	lists_image(i, s);
	sup_image(i->sup, s);
}

/* ---- saving -------------------------------------------------------------- */

/* NULL and errno; the caller frees it. */
static char *
settings_text(const struct settings *settings)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	if (out == NULL)
		return NULL;
	settings_print_options(settings, out);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

static void
show_children(const struct master *m, struct image *i)
{
	for (unsigned slot = 0; slot < SUP_SLOTS_MAX; slot++) {
		const struct child *c = m->child[slot];

		if (c == NULL)
			continue;
		i->child[i->n_children++] = (struct image_child){ .slot = slot,
			.generation = c->generation,
			.pid = (uint64_t)c->pid,
			.channel_fd = c->channel_fd,
			.leaving = c->leaving,
			.killed = c->killed,
			.ready = c->ready,
			.stall_timeout_ms = c->stall_timeout };
	}
}

/* Its strings and supervisor are the master's, but for both settings.  0, or
 * -1 and errno; then, too, show_free(). */
static int
show(const struct master *m, struct image *i)
{
	static char version[] = PREFORK_VERSION;
	const struct deployment *d = master_deployment(m, m->serving);

	*i = (struct image){ .program = version,
		.pid = (uint64_t)getpid(),
		.serving = m->serving,
		.last_generation = m->last_generation,
		.is_daemon = m->is_daemon,
		.log_is_startup = m->log_is_startup,
		.priv = m->priv,
		.pidfile = m->pidfile,
		.scoreboard_fd = m->scoreboard_fd,
		.logs = d->logs,
		.control = control_show(m->control),
		.first = settings_text(m->first),
		.settings = settings_text(d->settings),
		.listener = calloc(d->n_listeners, sizeof *i->listener),
		.n_listeners = (unsigned)d->n_listeners,
		.child = calloc(SUP_SLOTS_MAX, sizeof *i->child),
		.sup = m->sup };
	if (i->first == NULL || i->settings == NULL || i->listener == NULL ||
	    i->child == NULL)
		return -1;
	for (size_t n = 0; n < d->n_listeners; n++)
		i->listener[n] = listener_show(d->listeners[n]);
	show_children(m, i);
	return 0;
}

static void
show_free(struct image *i)
{
	free(i->first);
	free(i->settings);
	free(i->listener);
	free(i->child);
}

/* A FILE of its own over a copy of fd, whose closing does not close fd. */
static FILE *
stream_of(int fd, const char *mode)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	FILE *f = copy < 0 ? NULL : fdopen(copy, mode);

	if (f == NULL)
		fd_close(&copy);
	return f;
}

static int
write_image(int fd, struct image *i, char *err, size_t err_bytes)
{
	FILE *f = stream_of(fd, "w");
	struct state s = STATE_SAVE(f);
	bool ok;

	if (f == NULL) {
		snprintf(err, err_bytes, "%m");
		return -1;
	}
	image_image(i, &s);
	ok = state_ok(&s);
	if (!ok)
		snprintf(err, err_bytes, "%s", s.why);
	fclose(f);
	return ok ? 0 : -1;
}

int
image_save(const struct master *m, char *err, size_t err_bytes)
{
	int fd = memfd_create("prefork-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct image i = { 0 };
	bool ok = false;

	if (fd < 0 || show(m, &i) < 0)
		snprintf(err, err_bytes, "%m");
	else
		ok = write_image(fd, &i, err, err_bytes) == 0;
	if (ok && fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
		snprintf(err, err_bytes, "%m");
		ok = false;
	}
	show_free(&i);
	if (!ok)
		fd_close(&fd);
	return fd;
}

/* ---- loading ------------------------------------------------------------- */

int
image_load(struct image *i, int fd, char *err, size_t err_bytes)
{
	FILE *f = stream_of(fd, "r");
	struct state s = STATE_LOAD(f);

	*i = (struct image){ .pidfile.fd = -1, .sup = sup_new(SUP_SLOTS_MAX) };
	if (f == NULL || i->sup == NULL) {
		snprintf(err, err_bytes, "%m");
		if (f != NULL)
			fclose(f);
		return -1;
	}
	rewind(f); /* the test has read it before us */
	image_image(i, &s);
	fclose(f);
	if (state_ok(&s))
		return 0;
	snprintf(err, err_bytes, "%s", s.why);
	return -1;
}

void
image_fini(struct image *i)
{
	for (unsigned n = 0; n < i->n_listeners; n++) {
		free(i->listener[n].wanted);
		free(i->listener[n].spec);
		free(i->listener[n].path);
	}
	free(i->listener);
	free(i->child);
	free(i->program);
	free(i->pidfile.path);
	free(i->control.path);
	free(i->first);
	free(i->settings);
	sup_free(&i->sup);
	*i = (struct image){ .pidfile.fd = -1 };
}

/* Cuts the text into its lines.  NULL: out of memory. */
static const char **
lines_of(char *text, size_t *n)
{
	const char **lines;
	size_t most = 1;

	for (const char *p = text; *p != '\0'; p++)
		most += *p == '\n';
	lines = calloc(most, sizeof *lines);
	*n = 0;
	for (char *p = text; lines != NULL && p != NULL && *p != '\0';)
		lines[(*n)++] = strsep(&p, "\n");
	return lines;
}

struct settings *
image_settings(const char *text, char *err, size_t err_bytes)
{
	static const char *const nothing[] = { NULL };
	struct settings_source source = { .opts_name = "state",
		.environment = nothing };
	char *copy = strdup(text);
	const char **lines =
	    copy != NULL ? lines_of(copy, &source.n_opts) : NULL;
	FILE *mistakes = fmemopen(err, err_bytes, "w");
	struct settings *s = NULL;

	err[0] = '\0'; /* fmemopen() leaves it alone until something is said */
	source.opts = lines;
	if (lines != NULL && mistakes != NULL)
		s = settings_load(&source, mistakes);
	else
		snprintf(err, err_bytes, "%m");
	if (mistakes != NULL)
		fclose(mistakes);
	err[strcspn(err, "\n")] = '\0'; /* the first one is enough */
	free(lines);
	free(copy);
	return s;
}

/* ---- in the environment -------------------------------------------------- */

int
image_take_fd(void)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	const char *text = getenv(IMAGE_VARIABLE);
	long fd;

	if (text == NULL)
		return -1;
	fd = strtol(text, NULL, NUMBER_BASE);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	unsetenv(IMAGE_VARIABLE);
	if (fd < 3 || fd > INT16_MAX * (long)INT16_MAX ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return -1;
	return (int)fd;
}

int
image_check(int fd, char *err, size_t err_bytes)
{
	struct image i;
	struct settings *first = NULL, *serving = NULL;
	int status = image_load(&i, fd, err, err_bytes);

	if (status == 0)
		first = image_settings(i.first, err, err_bytes);
	if (first != NULL)
		serving = image_settings(i.settings, err, err_bytes);
	status = first != NULL && serving != NULL ? 0 : -1;
	settings_free(&first);
	settings_free(&serving);
	image_fini(&i);
	return status;
}

void
image_each_fd(const struct master *m, void (*fn)(int fd))
{
	const struct deployment *d = master_deployment(m, m->serving);
	struct control_image control = control_show(m->control);

	for (size_t i = 0; i < d->n_listeners; i++)
		fn(listener_fd(d->listeners[i]));
	for (unsigned i = 0; i < SUP_SLOTS_MAX; i++)
		if (m->child[i] != NULL)
			fn(m->child[i]->channel_fd);
	fn(control.fd);
	for (unsigned i = 0; i < control.n_clients; i++)
		fn(control.client[i].fd);
	fn(d->logs.error_fd);
	fn(d->logs.access_fd);
	fn(m->pidfile.fd);
	fn(m->scoreboard_fd);
}
