/*
 * A pf_host without a server, for testing a module alone: the request is a
 * script, the response is recorded, and whatever breaks the rules of
 * prefork_module(3) fails the test at once.
 *
 *   struct pf_app app = { .name = "x", .target = "/srv" };
 *   struct pf_request r;
 *
 *   mock_request(&r, "GET", "/path?query");
 *   module->on_request(state, &r, NULL);
 *   mock_finished(&r);
 *   assert_int_equal(r.status, 200);
 *   mock_free(&r);
 */
#ifndef TESTS_UNIT_MOCK_HOST_H
#define TESTS_UNIT_MOCK_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <prefork/module.h>

#define MOCK_HEADERS_MAX 16
#define MOCK_STEPS_MAX   16

struct mock_option {
	const char *key, *value;
};

/* The ABI's opaque handles are the test's own structs. */
struct pf_app {
	const char *name, *target;
	struct mock_option options[4]; /* until a key is NULL */
	char failed[256];              /* what fail() was told last */
	char logged[256];              /* what log() was told last */
	int log_level;
	unsigned n_logged;
};

/* One thing that happens to the body, in turn.  PF_OK: bytes are there.
 * PF_AGAIN: they are not, until a wait, whose result is `wait`.  An error stays
 * for good.  After the last step the body is complete. */
struct mock_step {
	int result;
	const char *bytes;
	int wait;
};

struct pf_request {
	/* script: set before on_request */
	pf_info info;
	pf_header headers[MOCK_HEADERS_MAX];
	struct mock_step body[MOCK_STEPS_MAX];
	size_t n_body;
	int writes[MOCK_STEPS_MAX]; /* result of each write() and sendfile() */
	size_t n_writes;
	int start_result;  /* < 0: start() and respond() fail with it */
	int wait_writable; /* what wait_writable() says */

	/* record */
	unsigned status;
	int64_t length; /* announced; -1: not */
	char *sent;     /* body bytes, NUL-terminated; also those of HEAD */
	size_t n_sent;
	char fields[2048]; /* "name: value\n" for each header sent */
	bool started, ended, aborted, closed;
	unsigned n_done, n_read_waits, n_write_waits, n_write_calls;
	bool must_wait; /* the last write said PF_AGAIN */

	/* the mock's own */
	size_t step, at; /* into body, into its bytes */
	size_t peeked;
};

extern const pf_host mock_host;

/* target is kept.  path is what comes before '?', not decoded: set
 * info.path for another. */
void mock_request(struct pf_request *, const char *method, const char *target);
void mock_header(struct pf_request *, uint16_t id, const char *name,
    const char *value);
/* One step more of the body.  info.body_length is the test's to set. */
void mock_body(struct pf_request *, const char *bytes);
void mock_body_result(struct pf_request *, int result, int wait);

/* done() was called, and the response is complete or was given up. */
void mock_finished(const struct pf_request *);
/* The value of a field of the response, "" if it has none.  In a buffer of the
 * mock that the next call overwrites. */
const char *mock_field(const struct pf_request *, const char *name);
/* Frees the record. */
void mock_free(struct pf_request *);

#endif
