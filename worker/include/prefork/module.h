/*
 * prefork/module.h -- the only thing prefork and its loadable modules share.
 * prefork_module(3) is the long version of these comments.
 *
 * A module is a shared object that exports one symbol, `prefork_module`, and
 * receives one table of functions, struct pf_host.  Neither side links against
 * the other.  Both tables begin with the ABI number and their own size, so that
 * fields can be appended: one that lies beyond the size is absent.
 *
 * Threads.  [any]: any thread, those of the module's own included, but for one
 *   request one thread at a time.  [main]: the worker's main thread, while it
 *   starts or ends.  [handler]: the thread that on_request was called in.
 * Blocking.  No host function blocks but the two named wait_*; every other one
 *   may be called with an interpreter lock held.  on_request may block: the
 *   worker notices within about a millisecond and serves others meanwhile.
 * Memory.  What prefork shows (struct pf_info, headers, a peeked body) is
 *   read-only and valid until done().  What a module passes is copied before
 *   the call returns, unless it comes with a release function: then it must
 *   stay as it is until release() is called: exactly once, whatever the call
 *   returns, in any thread, no host function being allowed inside it.
 * Handles.  A request that prefork has closed (client gone, deadline passed)
 *   stays valid memory and answers PF_ECLOSED until done() is called.
 */
#ifndef PREFORK_MODULE_H
#define PREFORK_MODULE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PREFORK_ABI 1u

typedef struct pf_app pf_app;         /* one [app:NAME] in this worker */
typedef struct pf_request pf_request; /* one exchange: request and response */

/* A borrowed slice: not NUL-terminated. */
typedef struct pf_str {
	const char *p;
	size_t n;
} pf_str;

/* Of a literal, as an initialiser. */
#define PF_STR(literal)                                                        \
	{                                                                      \
		"" literal, sizeof(literal) - 1                                \
	}

/* Results.  >= 0 is fine, < 0 is an error. */
enum pf_result {
	PF_OK = 0,
	PF_AGAIN = 1,     /* nothing to read yet / over the high-water mark */
	PF_EOF = 2,       /* the body is complete and consumed */
	PF_ECLOSED = -1,  /* client gone, or prefork answered: stop working */
	PF_ETIMEOUT = -2, /* the time given to a wait_* passed; or body slow */
	PF_ETOOBIG = -3,  /* the body is over max_body */
	PF_EPROTO = -4,   /* the body is malformed or was cut short */
	PF_ESTATE = -5,   /* wrong order: write before start, start twice,
			     more bytes than the announced length */
	PF_EINVAL = -6,   /* bad status, header name or value, or a hop-by-hop
			     header, which is prefork's to send */
	PF_ENOMEM = -7,   /* also: no thread could be made for a wait_* */
	PF_ENOSYS = -8,   /* not for this request (body_fd without a file) */
	PF_ETRAILERS = -9 /* behind the body: too many trailers, or too long */
};

/* Well-known header fields: see prefork/headers.def. */
enum pf_header_id {
	PF_H_OTHER = 0,
#define PF_HEADER(identifier, name) PF_H_##identifier,
#include <prefork/headers.def>
#undef PF_HEADER
	PF_H_COUNT
};

enum { PF_HF_REPEATED = 1 }; /* the same name came before in this request */

typedef struct pf_header {
	pf_str name;    /* as received, case kept */
	pf_str value;   /* without leading and trailing SP and HTAB */
	uint16_t id;    /* enum pf_header_id; ignored in responses */
	uint16_t flags; /* PF_HF_*; ignored in responses */
} pf_header;

enum {                       /* pf_info.flags */
	PF_RF_KEEPALIVE = 1, /* the client would send another request */
	PF_RF_EXPECT = 2, /* it waits for 100 Continue (sent on first read) */
	PF_RF_BODY_DONE = 4, /* the whole body is here: reads never wait */
	PF_RF_UNIX = 8,      /* over a unix socket: no address, unless a trusted
				proxy names that of the client */
	PF_RF_HEAD = 16      /* HEAD: answer as GET; prefork drops the body */
};

typedef struct pf_info {
	uint32_t size;         /* sizeof(pf_info) in the host */
	uint16_t http_minor;   /* HTTP/1.x */
	uint16_t flags;        /* PF_RF_* */
	pf_str method, target; /* as received */
	pf_str path;      /* %-decoded once, otherwise as received; any byte
			     but NUL; starts with '/', or is "*" */
	pf_str raw_path;  /* of target, as received, without the query; "/"
			     or "*" if it has none */
	pf_str query;     /* after '?', as received */
	size_t mount_len; /* leading bytes of path that are the app's mount;
			     0 when mounted at "/" */
	const pf_header *headers; /* in the order received; with an X-Request-Id
				     that came or was made */
	size_t n_headers;
	int64_t body_length; /* 0 none, > 0 known, -1 not known yet */
	/* The next three as a trusted proxy says; else: */
	pf_str scheme;      /* http */
	pf_str host;        /* of target, or the Host field; may be empty */
	pf_str remote_addr; /* numeric; empty over a unix socket */
	pf_str server_addr; /* where the connection arrived; or socket path */
	uint16_t remote_port, server_port;
	uint64_t connection_id; /* unique in this worker */
	uint64_t sequence;      /* n-th request of the connection, from 1 */
	uint64_t start_ns; /* CLOCK_MONOTONIC, when its head was complete */
} pf_info;

typedef void pf_release_fn(void *ud);

/* Bytes to send.  Without release they are copied. */
typedef struct pf_buf {
	const void *p;
	size_t n;
	pf_release_fn *release; /* or NULL */
	void *ud;
} pf_buf;

enum {              /* flags of write and sendfile */
	PF_END = 1, /* these are the last bytes: as if end() followed */
	PF_TAKE_FD =
	    2 /* sendfile: the fd is prefork's to close, on failure too */
};

/* In order of importance, as the setting log.level names them. */
enum pf_log_level { PF_LOG_ERROR, PF_LOG_WARN, PF_LOG_INFO, PF_LOG_DEBUG };

typedef struct pf_host {
	uint32_t abi, size;

	/* ---- settings and log ------------------------------------------- */

	/* A line in the error log, with the app's name before it. [any] */
	void (*log)(pf_app *, int level, const char *fmt, ...)
#ifdef __GNUC__
	    __attribute__((format(printf, 3, 4)))
#endif
	    ;
	/* The app's name in the settings. Valid as long as the app. [any] */
	const char *(*app_name)(pf_app *);
	/* option.KEY of the app's section, or dflt. Valid as long as the app.
	 * [any] */
	const char *(*option)(pf_app *, const char *key, const char *dflt);
	/* The i-th option as set; 0 when there are no more. [any] */
	int (*option_at)(pf_app *, size_t i, const char **key,
	    const char **value);
	/* The app's `target` setting. [any] */
	const char *(*target)(pf_app *);
	/* Why check(), open() or one of their like refuses: reaches the error
	 * log and the operator. The last call wins. [main] */
	void (*fail)(pf_app *, const char *fmt, ...)
#ifdef __GNUC__
	    __attribute__((format(printf, 2, 3)))
#endif
	    ;

	/* ---- the request ------------------------------------------------ */

	/* Never NULL. [any] */
	const pf_info *(*info)(pf_request *);
	/* The first field of that name (any case); NULL if there is none. [any]
	 */
	const pf_header *(*header)(pf_request *, const char *name);
	/* Unread body bytes that lie in memory, at least one: PF_OK, PF_AGAIN,
	 * PF_EOF or an error. The first call sends 100 Continue if the client
	 * expects it. [any] */
	int (*peek)(pf_request *, pf_str *out);
	/* Gives back the first n peeked bytes. [any] */
	void (*consume)(pf_request *, size_t n);
	/* peek, copy and consume in one: the number of bytes, 0 when there is
	 * none for the reason in *result (PF_AGAIN, PF_EOF or an error). [any]
	 */
	size_t (*read)(pf_request *, void *buf, size_t n, int *result);
	/* Until peek would not say PF_AGAIN: PF_OK, PF_ETIMEOUT, PF_ECLOSED.
	 * timeout_ms < 0: as long as prefork's own limits allow. Blocks.
	 * [handler and threads of the module] */
	int (*wait_readable)(pf_request *, int timeout_ms);
	/* A body that was spooled to a file: its fd, prefork's, and length.
	 * Use pread, not read. PF_ENOSYS if it lies in memory. [any] */
	int (*body_fd)(pf_request *, int64_t *length);
	/* 1, or 0 once the client is known to be gone. [any] */
	int (*alive)(pf_request *);

	/* ---- the response ----------------------------------------------- */

	/* An interim response, 100 < status < 200 but 101: 103 Early Hints. */
	int (*inform)(pf_request *, unsigned status, const pf_header *,
	    size_t n);
	/* The head, once. status 200..599. reason.n == 0: the standard phrase.
	 * length -1: not known, prefork frames (chunked, or until close for
	 * HTTP/1.0). Content-Length among the headers is taken as length.
	 * prefork adds Connection, framing and, unless they are among the
	 * headers, Date and Server. Sent with the first bytes of the body, or
	 * by end(). [any] */
	int (*start)(pf_request *, unsigned status, pf_str reason,
	    const pf_header *, size_t n, int64_t length);
	/* Body bytes; always taken. PF_AGAIN: taken, but the client reads
	 * slowly; wait_writable() before more. [any] */
	int (*write)(pf_request *, const pf_buf *, size_t n, unsigned flags);
	/* length bytes of fd from offset. A file that turns out shorter cuts
	 * the connection. [any] */
	int (*sendfile)(pf_request *, int fd, int64_t offset, int64_t length,
	    unsigned flags);
	/* Until what waits to be sent is under the low-water mark: PF_OK,
	 * PF_ETIMEOUT, PF_ECLOSED. Blocks. [handler and threads of the module]
	 */
	int (*wait_writable)(pf_request *, int timeout_ms);
	/* No more body. Short of the announced length: the connection is cut,
	 * and the log says so. [any] */
	int (*end)(pf_request *);
	/* The response ends here, and the connection is cut so that the client
	 * can tell that it is incomplete: when done() is called, which is still
	 * due. After end() it does nothing. [any] */
	void (*abort)(pf_request *);
	/* The module is finished with the handle: exactly once per request,
	 * from any thread, in on_request or later. A response that was not
	 * ended is aborted; none at all becomes a 500. [any] */
	void (*done)(pf_request *);
	/* start, write, end and done in one: the fast path. PF_OK: the handle
	 * is gone (also when the client is). On an error nothing was sent, and
	 * done() is still due. [any] */
	int (*respond)(pf_request *, unsigned status, const pf_header *,
	    size_t n_headers, const pf_buf *, size_t n_bufs);

	/* ---- for interpreters ------------------------------------------- */

	/* A setting of the server or of the app's section as `prefork -T`
	 * prints it: "server.workers" (a number, also if it is auto),
	 * "app.venv". NULL: there is none of that name, or no memory. Valid as
	 * long as the app. [main] */
	const char *(*setting)(pf_app *, const char *name);
	/* The handler of this request waited so long for the lock that the
	 * handlers of its module share, as that of an interpreter; 0 if not at
	 * all. A module that tells it, tells it of each request: so prefork
	 * learns when more threads would not help. [handler] */
	void (*lock_waited)(pf_request *, uint64_t ns);
	/* As log(), and whole lines of text below that line, as they stand:
	 * in one write, so that nothing of others comes between a traceback
	 * and what it is about. [any] */
	void (*log_text)(pf_app *, int level, pf_str text, const char *fmt, ...)
#ifdef __GNUC__
	    __attribute__((format(printf, 4, 5)))
#endif
	    ;
} pf_host;

typedef struct pf_module {
	uint32_t abi;  /* PREFORK_ABI */
	uint32_t size; /* sizeof(pf_module) */
	const char *name, *version;

	/* All but on_request may be NULL.  Those that return int refuse with
	 * non-zero, after fail() has said why. */

	/* `prefork -t`: look at the settings, start nothing. [main] */
	int (*check)(const pf_host *, pf_app *);
	/* Once per worker and module, before the first open. [main] */
	int (*worker_init)(const pf_host *, pf_app *first, void **module);
	/* Once per app; *app is what on_request receives. [main] */
	int (*open)(const pf_host *, pf_app *, void *module, void **app);
	/* In each handler thread before its first request of this module. Non-
	 * zero answers that request with 500. [handler] */
	int (*thread_init)(void *module, void **thread);
	/* One request. May block, may return before done(). thread is what
	 * thread_init left, or NULL. [handler] */
	void (*on_request)(void *app, pf_request *, void *thread);
	/* The thread ends. [handler] */
	void (*thread_fini)(void *module, void *thread);
	/* The worker ends: after the last request, in reverse order of open.
	 * Not called when the worker is killed. [main] */
	void (*close)(void *app);
	void (*worker_fini)(void *module);

	/* The handler of this request is over its request_timeout and its
	 * client was answered: make it end, if that can be done. thread is its
	 * thread's state. May come as the handler returns; must not block.
	 * [any] */
	void (*interrupt)(void *module, pf_request *, void *thread);
	/* The stacks of all threads, as text for people, written to fd. Called
	 * when a handler hangs, and from the handler of a fatal signal: may
	 * take no lock and no memory. [any] */
	void (*dump)(void *module, int fd);

	/* With server.preload, worker_init and open are called in a template,
	 * of which each worker is a fork; thread_init and all that follows in
	 * the worker.  The template calls before_fork, forks, and calls
	 * after_fork_parent; in the worker after_fork_child comes before
	 * anything else, and may refuse.  Threads of the module are not in the
	 * worker; what is open is shared with its siblings.  [main] */
	void (*before_fork)(void *module);
	void (*after_fork_parent)(void *module);
	int (*after_fork_child)(void *module);
} pf_module;

/* PREFORK_MODULE(.name = "hello", .on_request = hello); */
#define PREFORK_MODULE(...)                                                    \
	__attribute__((                                                        \
	    visibility("default"))) extern const pf_module prefork_module;     \
	const pf_module prefork_module = { .abi = PREFORK_ABI,                 \
		.size = sizeof(pf_module),                                     \
		__VA_ARGS__ }

#ifdef __cplusplus
}
#endif

#endif
