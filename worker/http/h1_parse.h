/*
 * The request head, RFC 9112 2 to 6: one strict parser for everybody.  Pure:
 * no socket, no clock, no allocation.  CRLF only, SP and HTAB only, digits
 * only; after any doubt the result says which, and the connection closes.
 */
#ifndef WORKER_HTTP_H1_PARSE_H
#define WORKER_HTTP_H1_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/str.h"

/* H1_OK, H1_MORE, then one name per kind of mistake (h1_result.def). */
enum h1_result {
	H1_OK,   /* complete */
	H1_MORE, /* correct as far as it goes */
#define H1_RESULT(name, status, text) H1_##name,
#include "worker/http/h1_result.def"
#undef H1_RESULT
};

/* The status a mistake is answered with, and its text for the error log. */
unsigned h1_result_status(enum h1_result);
const char *h1_result_text(enum h1_result);

/* Bytes of the buffer the head was parsed from.  An offset, so that the buffer
 * may move between two calls. */
struct h1_span {
	uint32_t at, n;
};

struct h1_field {
	struct h1_span name, value; /* value without OWS around it */
	uint16_t id;                /* enum pf_header_id */
	uint16_t flags;             /* PF_HF_* */
	/* private */
	uint32_t hash; /* of a name without an id */
	uint32_t next; /* field[next - 1] has the same bucket; 0: none */
};

enum h1_method { /* those that prefork itself must tell apart */
	H1_METHOD_OTHER,
	H1_METHOD_GET,
	H1_METHOD_HEAD,
	H1_METHOD_POST,
	H1_METHOD_PUT,
	H1_METHOD_DELETE,
	H1_METHOD_OPTIONS,
	H1_METHOD_CONNECT,
};

struct h1_limits {
	uint32_t request_line; /* bytes, without CRLF -> 414 */
	uint32_t field;        /* bytes of one field line -> 431 */
	uint32_t fields;       /* number -> 431 */
	uint32_t head;         /* bytes of everything -> 431 */
	/* Below 2^31 - 1, and not to be guessed: who knows it can make names
	 * that are slow to tell apart. */
	uint32_t seed;
};

#define H1_BUCKETS 64

/* The parser, and its result once h1_parse() said H1_OK. */
struct h1_head {
	struct h1_span method, target;
	struct h1_span query; /* without '?' */
	/* Of an absolute or authority-form target, else the Host field; n == 0:
	 * none. */
	struct h1_span authority;
	enum h1_method method_id;
	bool https;              /* target is an absolute-form that says so */
	uint8_t minor;           /* HTTP/1.minor; 1.2 and up counts as 1 */
	bool chunked;            /* the body is chunked */
	bool has_length;         /* Content-Length was there */
	bool keepalive;          /* RFC 9112 9.3 */
	bool expect_continue;    /* and minor >= 1 */
	uint64_t content_length; /* 0 unless has_length */
	struct h1_field *field;  /* the caller's, room for limits.fields */
	uint32_t n_fields;
	/* Left out: a name with '_', which would pass for that with '-' (CGI),
	 * and Proxy, which would become HTTP_PROXY. */
	uint32_t n_dropped;
	struct h1_span dropped; /* the name of the last */
	bool forwarding;        /* field_is_forwarding() of one of the fields */
	uint32_t length; /* bytes of the head with its last CRLF, and of empty
			    lines before it (RFC 9112 2.2) */
	/* private */
	struct h1_limits limits;
	struct h1_span raw_path; /* see h1_raw_path() */
	uint32_t line_at;        /* where the line in work begins */
	uint32_t scan_at;        /* where the search for its end goes on */
	uint64_t seen; /* bit enum pf_header_id: that field has come */
	/* field[bucket - 1] is the last without an id of that hash; 0: none */
	uint16_t bucket[H1_BUCKETS];
	uint8_t codings; /* H1_TE_* */
	bool in_fields, close, keep, bad_expect;
	bool asterisk; /* the path is "*" */
};

void h1_head_init(struct h1_head *, const struct h1_limits *,
    struct h1_field *field);

/*
 * buf[0..n) is all that has arrived of the head so far; call again with more of
 * the same bytes after H1_MORE.  Every byte is looked at once, however it is
 * split over calls, and the result does not depend on the split.
 */
enum h1_result h1_parse(struct h1_head *, const char *buf, size_t n);

/* Of the target of a complete head, without its query.  "/" if an absolute-form
 * has no path; "*" for asterisk-form, and for OPTIONS of an absolute-form that
 * has nothing behind its authority; n == 0 for authority-form. */
struct str h1_raw_path(const struct h1_head *, const char *buf);

#endif
