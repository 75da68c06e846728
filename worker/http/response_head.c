#include <string.h>
#include <time.h>

#include "worker/http/field.h"
#include "worker/http/h1_length.h"
#include "worker/http/http_date.h"
#include "worker/http/response_head.h"
#include "worker/http/status.h"
#include "worker/str.h"

static struct str
slice(pf_str s)
{
	return (struct str){ s.p, s.n };
}

static char *
put(char *at, struct str s)
{
	memcpy(at, s.p, s.n);
	return at + s.n;
}

/* Decimal digits of n, without a NUL. */
static char *
put_number(char *at, uint64_t n)
{
	char digits[20], *p = digits + sizeof digits;

	do
		*--p = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	return put(at, (struct str){ p, (size_t)(digits + sizeof digits - p) });
}

/* The date of this second; each thread keeps its own. */
static struct str
date_now(void)
{
	static _Thread_local char text[HTTP_DATE_LENGTH];
	static _Thread_local time_t of = -1;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec != of) {
		of = now.tv_sec;
		http_date_format(of, text);
	}
	return (struct str){ text, sizeof text };
}

/* One field of a module.  Framing and hop-by-hop fields are not its to send. */
static int
check_field(struct response_head *h, const pf_header *f)
{
	uint64_t length;

	if (!field_name_ok(slice(f->name)) || !field_value_ok(slice(f->value)))
		return PF_EINVAL;
	switch (field_id(slice(f->name))) {
	case PF_H_CONNECTION:
	case PF_H_KEEP_ALIVE:
	case PF_H_PROXY_CONNECTION:
	case PF_H_TE:
	case PF_H_TRAILER:
	case PF_H_TRANSFER_ENCODING:
	case PF_H_UPGRADE: return PF_EINVAL;
	case PF_H_DATE: h->has_date = true; break;
	case PF_H_SERVER: h->has_server = true; break;
	case PF_H_CONTENT_LENGTH:
		if (h->length >= 0 ||
		    h1_content_length(slice(f->value), &length) != H1_OK ||
		    length > INT64_MAX)
			return PF_EINVAL;
		h->length = (int64_t)length;
		break;
	default: break;
	}
	h->room += f->name.n + f->value.n + 4;
	return PF_OK;
}

int
response_head_check(struct response_head *h)
{
	h->length = -1;
	h->has_date = h->has_server = false;
	h->room = 128 + RESPONSE_FRAMING_MAX + h->reason.n;
	if (h->status < 200 || h->status > 599 ||
	    !field_value_ok(slice(h->reason)))
		return PF_EINVAL;
	for (size_t i = 0; i < h->n_headers; i++)
		if (check_field(h, &h->headers[i]) != PF_OK)
			return PF_EINVAL;
	return PF_OK;
}

size_t
response_head_write(const struct response_head *h, char *out)
{
	struct str reason =
	    h->reason.n > 0 ? slice(h->reason) : status_reason(h->status);
	char *at = out;

	at = put(at, STR("HTTP/1.1 "));
	at = put_number(at, h->status);
	*at++ = ' ';
	at = put(at, reason);
	at = put(at, STR("\r\n"));
	if (h->server_header && !h->has_server)
		at = put(at, STR("Server: prefork\r\n"));
	if (!h->has_date) {
		at = put(at, STR("Date: "));
		at = put(at, date_now());
		at = put(at, STR("\r\n"));
	}
	for (size_t i = 0; i < h->n_headers; i++) {
		const pf_header *f = &h->headers[i];

		if (h->length >= 0 &&
		    field_id(slice(f->name)) == PF_H_CONTENT_LENGTH)
			continue; /* the framing says it */
		at = put(at, slice(f->name));
		at = put(at, STR(": "));
		at = put(at, slice(f->value));
		at = put(at, STR("\r\n"));
	}
	return (size_t)(at - out);
}

size_t
response_framing_write(const struct response_framing *f, char *out)
{
	char *at = out;

	if (f->chunked) {
		at = put(at, STR("Transfer-Encoding: chunked\r\n"));
	} else if (f->length >= 0) {
		at = put(at, STR("Content-Length: "));
		at = put_number(at, (uint64_t)f->length);
		at = put(at, STR("\r\n"));
	}
	if (f->close)
		at = put(at, STR("Connection: close\r\n"));
	else if (f->say_keepalive)
		at = put(at, STR("Connection: keep-alive\r\n"));
	at = put(at, STR("\r\n"));
	return (size_t)(at - out);
}
