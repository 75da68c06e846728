/*
 * One request: method, path, openat2() below the root, fstat(), conditions,
 * range, then the bytes.  The path decides nothing by itself: that nothing
 * outside of the root is reached, by dots or by symbolic links, is the kernel's
 * promise (RESOLVE_BENEATH).
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
#include "worker/http/static_range.h"

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
	{ 416, SLICE("416 Range Not Satisfiable\n") },
	{ 500, SLICE("500 Internal Server Error\n") },
	{ 501, SLICE("501 Not Implemented\n") },
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

/* What a response with a file says and sends. */
struct reply {
	unsigned status;
	struct static_range part; /* of the file */
	pf_header h[5];
	size_t n_h;
	char range[STATIC_RANGE_TEXT_MAX];
};

static void
add_field(struct reply *p, struct str name, const char *value, size_t n)
{
	p->h[p->n_h++] =
	    (pf_header){ .name = { name.p, name.n }, .value = { value, n } };
}

static void
send_small(const struct exchange *x, const struct static_file *f,
    const char *name, const struct reply *p)
{
	char buf[SMALL_BYTES];
	size_t size = (size_t)p->part.n;
	bool ok = static_file_read(f, buf, size, p->part.at);

	close(f->fd);
	if (ok) {
		answer(x, p->status, p->h, p->n_h, (struct str){ buf, size });
		return;
	}
	x->s->host->log(x->s->app, PF_LOG_ERROR, "%s: cannot be read whole",
	    name);
	answer_plain(x, 500, NULL);
}

static void
send_large(const struct exchange *x, const struct static_file *f,
    const struct reply *p)
{
	const pf_host *host = x->s->host;

	if (host->start(x->req, p->status, (pf_str){ 0 }, p->h, p->n_h,
		p->part.n) < 0)
		close(f->fd);
	else /* a failure of the client's: done() does what is left */
		(void)host->sendfile(x->req, f->fd, p->part.at, p->part.n,
		    PF_TAKE_FD | PF_END);
	host->done(x->req);
}

/* RFC 9110 13.2.2: conditions first, then ranges, which only GET has. */
static unsigned
status_of(const struct exchange *x, const struct static_file *f, time_t now,
    struct static_range *part)
{
	const struct static_whole whole = { { f->etag, f->etag_n },
		f->st.st_size };
	unsigned status = static_condition(x->in->headers, x->in->n_headers,
	    whole.etag, f->st.st_mtim.tv_sec, now);

	if (status != 200 || (x->in->flags & PF_RF_HEAD) != 0)
		return status;
	return static_range(x->in->headers, x->in->n_headers, &whole, part);
}

static void
answer_no_such_range(const struct exchange *x, const struct static_file *f)
{
	char text[STATIC_RANGE_TEXT_MAX];
	size_t n = static_range_text(NULL, f->st.st_size, text);
	pf_header range = { .name = SLICE("Content-Range"),
		.value = { text, n } };

	answer_plain(x, 416, &range);
}

static void
answer_without_content(const struct exchange *x, const struct static_file *f,
    const struct reply *p)
{
	close(f->fd);
	if (p->status == 304)
		answer(x, 304, p->h, p->n_h, STR(""));
	else if (p->status == 416)
		answer_no_such_range(x, f);
	else
		answer_plain(x, p->status, NULL);
}

/* HEAD takes the way of a large file: prefork drops the body, so that there is
 * nothing to read. */
static void
send_file(const struct exchange *x, struct static_file *f, const char *name)
{
	struct reply p = { .part = { 0, f->st.st_size } };
	struct str type = mime_type((struct str){ name, strlen(name) });
	time_t now = time(NULL);

	static_file_describe(f, now);
	p.status = status_of(x, f, now, &p.part);
	add_field(&p, STR("Last-Modified"), f->modified, sizeof f->modified);
	add_field(&p, STR("ETag"), f->etag, f->etag_n);
	if (p.status != 200 && p.status != 206) {
		answer_without_content(x, f, &p);
		return;
	}
	add_field(&p, STR("Content-Type"), type.p, type.n);
	add_field(&p, STR("Accept-Ranges"), "bytes", 5);
	if (p.status == 206)
		add_field(&p, STR("Content-Range"), p.range,
		    static_range_text(&p.part, f->st.st_size, p.range));
	if (p.part.n > SMALL_BYTES || (x->in->flags & PF_RF_HEAD) != 0)
		send_large(x, f, &p);
	else
		send_small(x, f, name, &p);
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
is_get_or_head(struct str m)
{
	return str_eq(m, STR("GET")) || str_eq(m, STR("HEAD"));
}

/* RFC 9110 9.1: 501 to what nobody knows, 405 to what has no business here. */
static bool
is_known(struct str m)
{
	static const struct str known[] = {
		SLICE("POST"),
		SLICE("PUT"),
		SLICE("DELETE"),
		SLICE("OPTIONS"),
		SLICE("PATCH"),
		SLICE("TRACE"),
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (str_eq(m, known[i]))
			return true;
	return false;
}

static void
static_request(void *app, pf_request *req, void *thread)
{
	struct exchange x = { .s = app, .req = req };
	struct str path, method;

	(void)thread;
	x.in = x.s->host->info(req);
	method = (struct str){ x.in->method.p, x.in->method.n };
	if (!is_get_or_head(method) && !is_known(method))
		answer_plain(&x, 501, NULL);
	else if (!is_get_or_head(method))
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
