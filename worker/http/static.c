/*
 * One request: method, path, openat2() below the root, fstat(), conditions,
 * then the bytes.  The path decides nothing by itself: that nothing outside of
 * the root is reached, by dots or by symbolic links, is the kernel's promise
 * (RESOLVE_BENEATH).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "worker/http/mime.h"
#include "worker/http/static.h"
#include "worker/http/static_condition.h"
#include "worker/http/static_file.h"
#include "worker/http/static_path.h"

/* Up to this size a file is read and sent in one piece. */
#define SMALL_BYTES 16384

#define SLICE(literal)                                                         \
	{                                                                      \
		"" literal, sizeof(literal) - 1                                \
	}

struct static_app {
	const pf_host *host;
	pf_app *app;
	int root_fd;
};

/* One request on its way. */
struct exchange {
	const struct static_app *s;
	pf_request *req;
	const pf_info *in;
};

/* ---- answers without a file ---------------------------------------------- */

struct plain {
	unsigned status;
	struct str text;
};

static const struct plain plain_texts[] = {
	{ 301, SLICE("301 Moved Permanently\n") },
	{ 403, SLICE("403 Forbidden\n") },
	{ 404, SLICE("404 Not Found\n") },
	{ 405, SLICE("405 Method Not Allowed\n") },
	{ 412, SLICE("412 Precondition Failed\n") },
	{ 500, SLICE("500 Internal Server Error\n") },
	{ 503, SLICE("503 Service Unavailable\n") },
};

static struct str
plain_text(unsigned status)
{
	for (size_t i = 0; i < sizeof plain_texts / sizeof plain_texts[0]; i++)
		if (plain_texts[i].status == status)
			return plain_texts[i].text;
	return STR("");
}

/* respond(), or the done() that is left when it fails. */
static void
answer(const struct exchange *x, unsigned status, const pf_header *h, size_t n,
    struct str body)
{
	const pf_host *host = x->s->host;
	pf_buf buf = { .p = body.p, .n = body.n };

	if (host->respond(x->req, status, h, n, &buf, body.n > 0) < 0)
		host->done(x->req);
}

/* extra may be NULL. */
static void
answer_plain(const struct exchange *x, unsigned status, const pf_header *extra)
{
	pf_header h[2] = { { .name = SLICE("Content-Type"),
	    .value = SLICE("text/plain") } };

	if (extra != NULL)
		h[1] = *extra;
	answer(x, status, h, extra == NULL ? 1 : 2, plain_text(status));
}

static void
answer_not_allowed(const struct exchange *x)
{
	static const pf_header allow = { .name = SLICE("Allow"),
		.value = SLICE("GET, HEAD") };

	answer_plain(x, 405, &allow);
}

static void
answer_redirect(const struct exchange *x)
{
	size_t n = 0;
	char *to = static_location_new(x->in, &n);
	pf_header location = { .name = SLICE("Location"), .value = { to, n } };

	if (to == NULL)
		answer_plain(x, 503, NULL);
	else
		answer_plain(x, 301, &location);
	free(to);
}

/* 404 also for what is outside of the root: who asks need not know. */
static unsigned
status_of_errno(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
	case ELOOP:
	case EXDEV:
	case ENAMETOOLONG:
	case EINVAL: return 404;
	case EACCES:
	case EPERM:
	case ENXIO: /* a socket, or a device that is not there */
	case ENODEV: return 403;
	case EAGAIN:
	case EINTR:
	case EMFILE:
	case ENFILE:
	case ENOMEM: return 503;
	default: return 500;
	}
}

static void
answer_errno(const struct exchange *x, const char *name, int error)
{
	unsigned status = status_of_errno(error);

	if (status >= 500)
		x->s->host->log(x->s->app, PF_LOG_ERROR, "%s: %s", name,
		    strerrordesc_np(error));
	answer_plain(x, status, NULL);
}

/* ---- a file -------------------------------------------------------------- */

static void
send_small(const struct exchange *x, const struct static_file *f,
    const char *name, const pf_header *h, size_t n)
{
	char buf[SMALL_BYTES];
	size_t size = (size_t)f->st.st_size;
	bool ok = static_file_read(f, buf, size);

	close(f->fd);
	if (ok) {
		answer(x, 200, h, n, (struct str){ buf, size });
		return;
	}
	x->s->host->log(x->s->app, PF_LOG_ERROR, "%s: cannot be read whole",
	    name);
	answer_plain(x, 500, NULL);
}

static void
send_large(const struct exchange *x, const struct static_file *f,
    const pf_header *h, size_t n)
{
	const pf_host *host = x->s->host;

	if (host->start(x->req, 200, (pf_str){ 0 }, h, n, f->st.st_size) < 0)
		close(f->fd);
	else /* a failure of the client's: done() does what is left */
		(void)host->sendfile(x->req, f->fd, 0, f->st.st_size,
		    PF_TAKE_FD | PF_END);
	host->done(x->req);
}

/* HEAD takes the way of a large file: prefork drops the body, so that there is
 * nothing to read. */
static void
send_file(const struct exchange *x, struct static_file *f, const char *name)
{
	pf_header h[] = {
		{ .name = SLICE("Last-Modified") },
		{ .name = SLICE("ETag") },
		{ .name = SLICE("Content-Type") },
	};
	struct str type = mime_type((struct str){ name, strlen(name) });
	time_t now = time(NULL);
	unsigned status;

	static_file_describe(f, now);
	h[0].value = (pf_str){ f->modified, sizeof f->modified };
	h[1].value = (pf_str){ f->etag, f->etag_n };
	h[2].value = (pf_str){ type.p, type.n };
	status = static_condition(x->in->headers, x->in->n_headers,
	    (struct str){ f->etag, f->etag_n }, f->st.st_mtim.tv_sec, now);
	if (status == 200 &&
	    (f->st.st_size > SMALL_BYTES || (x->in->flags & PF_RF_HEAD) != 0)) {
		send_large(x, f, h, 3);
	} else if (status == 200) {
		send_small(x, f, name, h, 3);
	} else {
		close(f->fd);
		if (status == 304)
			answer(x, 304, h, 2, STR(""));
		else
			answer_plain(x, status, NULL);
	}
}

static void
serve(const struct exchange *x, struct str path)
{
	char name[PATH_MAX];
	struct static_file f;

	if (static_path_is_hidden(path) ||
	    !static_path_to_name(path, name, sizeof name)) {
		answer_plain(x, 404, NULL);
		return;
	}
	if (!static_file_open(&f, x->s->root_fd, name)) {
		answer_errno(x, name, errno);
		return;
	}
	if (S_ISREG(f.st.st_mode)) {
		send_file(x, &f, name);
		return;
	}
	close(f.fd);
	if (!S_ISDIR(f.st.st_mode))
		answer_plain(x, 403, NULL);
	else if (!static_path_ends_in_slash(path))
		answer_redirect(x);
	else /* a directory called index.html */
		answer_plain(x, 404, NULL);
}

static bool
is_get_or_head(pf_str m)
{
	return (m.n == 3 && memcmp(m.p, "GET", 3) == 0) ||
	    (m.n == 4 && memcmp(m.p, "HEAD", 4) == 0);
}

static void
static_request(void *app, pf_request *req, void *thread)
{
	struct exchange x = { .s = app, .req = req };
	struct str path;

	(void)thread;
	x.in = x.s->host->info(req);
	if (!is_get_or_head(x.in->method))
		answer_not_allowed(&x);
	else if (!static_path_below_mount(x.in, &path))
		answer_plain(&x, 404, NULL);
	else if (path.n == 0 && x.in->path.p[x.in->path.n - 1] != '/')
		answer_redirect(&x); /* the mount itself */
	else
		serve(&x, path);
}

/* ---- settings ------------------------------------------------------------ */

/* The root as a descriptor that only paths are resolved from; -1 after fail().
 * openat2() is tried out here: a container may forbid it. */
static int
root_open(const pf_host *host, pf_app *app)
{
	const char *target = host->target(app);
	int fd = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC), probe;

	if (fd < 0) {
		host->fail(app, "%s: %s", target, strerrordesc_np(errno));
		return -1;
	}
	probe = static_open_beneath(fd, ".", O_PATH | O_DIRECTORY);
	if (probe < 0) {
		host->fail(app,
		    "%s: openat2: %s (static files need Linux 5.6 or later, "
		    "and a container that allows the call)",
		    target, strerrordesc_np(errno));
		close(fd);
		return -1;
	}
	close(probe);
	return fd;
}

static int
static_check(const pf_host *host, pf_app *app)
{
	int fd = root_open(host, app);

	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int
static_open(const pf_host *host, pf_app *app, void *module, void **out)
{
	struct static_app *s = malloc(sizeof *s);

	(void)module;
	if (s == NULL) {
		host->fail(app, "out of memory");
		return -1;
	}
	*s = (struct static_app){ .host = host, .app = app };
	s->root_fd = root_open(host, app);
	if (s->root_fd < 0) {
		free(s);
		return -1;
	}
	*out = s;
	return 0;
}

static void
static_close(void *app)
{
	struct static_app *s = app;

	close(s->root_fd);
	free(s);
}

const pf_module static_module = {
	.abi = PREFORK_ABI,
	.size = sizeof(pf_module),
	.name = "static",
	.version = PREFORK_VERSION,
	.check = static_check,
	.open = static_open,
	.on_request = static_request,
	.close = static_close,
};
