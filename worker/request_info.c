/* struct pf_info: what a module may know of a request, made when it asks. */
#include <stdlib.h>
#include <string.h>

#include "common/heritage.h"
#include "conf/settings.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/request.h"

static pf_str
span(const struct pf_request *r, struct h1_span s)
{
	return (pf_str){ r->buf + s.at, s.n };
}

static void
put_hex(char out[16], uint64_t n)
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 15; i >= 0; i--, n >>= 4)
		out[i] = hex[n & 15];
}

/* Random for the worker, then the number of the connection and of the request
 * on it: no two are alike, and making one costs no system call. */
static struct str
id_make(const struct pf_request *r, char out[REQUEST_ID_BYTES])
{
	put_hex(out, r->worker->id_seed);
	put_hex(out + 16, r->connection_id << 32 | r->sequence);
	return (struct str){ out, REQUEST_ID_BYTES };
}

struct str
request_id(const struct pf_request *r, char made[REQUEST_ID_BYTES])
{
	for (size_t i = 0; i < r->head.n_fields; i++)
		if (r->head.field[i].id == PF_H_X_REQUEST_ID)
			return request_str(r, r->head.field[i].value);
	return id_make(r, made);
}

static pf_header
id_header(struct pf_request *r)
{
	struct str id = id_make(r, r->id_text);

	return (pf_header){ .name = PF_STR("X-Request-Id"),
		.value = { id.p, id.n },
		.id = PF_H_X_REQUEST_ID };
}

/* As received, and an X-Request-Id if none was. */
static size_t
headers_take(struct pf_request *r)
{
	size_t n = r->head.n_fields;
	bool has_id = false;

	for (size_t i = 0; i < n; i++) {
		r->headers[i] = (pf_header){
			.name = span(r, r->head.field[i].name),
			.value = span(r, r->head.field[i].value),
			.id = r->head.field[i].id,
			.flags = r->head.field[i].flags,
		};
		has_id = has_id || r->headers[i].id == PF_H_X_REQUEST_ID;
	}
	if (!has_id)
		r->headers[n++] = id_header(r);
	return n;
}

static uint16_t
flags_of(const struct pf_request *r)
{
	unsigned flags = 0;

	flags |= r->keep ? PF_RF_KEEPALIVE : 0;
	flags |= r->head.expect_continue ? PF_RF_EXPECT : 0;
	flags |= !r->body_shared ? PF_RF_BODY_DONE : 0;
	flags |= r->over_unix ? PF_RF_UNIX : 0;
	flags |= r->head.method_id == H1_METHOD_HEAD ? PF_RF_HEAD : 0;
	return (uint16_t)flags;
}

static int64_t
body_length_of(const struct pf_request *r)
{
	if (!r->body_shared)
		return (int64_t)r->body.received;
	return r->head.chunked ? -1 : (int64_t)r->head.content_length;
}

/* [::1]:8000 and 127.0.0.1:8000 lose their port, unix:/path its scheme. */
static void
server_of(const struct pf_request *r, pf_info *info)
{
	const char *spec = r->listener->spec;
	const char *colon = strrchr(spec, ':');
	size_t n;

	if (colon == NULL)
		return;
	if (r->over_unix) {
		info->server_addr = (pf_str){ colon + 1, strlen(colon + 1) };
		return;
	}
	n = (size_t)(colon - spec);
	info->server_addr =
	    spec[0] == '[' ? (pf_str){ spec + 1, n - 2 } : (pf_str){ spec, n };
	info->server_port = (uint16_t)strtoul(colon + 1, NULL, 10);
}

const pf_info *
request_info(struct pf_request *r)
{
	static const pf_str http = PF_STR("http"), https = PF_STR("https");
	struct str raw_path = h1_raw_path(&r->head, r->buf);
	pf_info *info = &r->info;

	if (r->info_known)
		return info;
	*info = (pf_info){
		.size = sizeof *info,
		.http_minor = r->head.minor,
		.flags = flags_of(r),
		.method = span(r, r->head.method),
		.target = span(r, r->head.target),
		.path = { r->path.p, r->path.n },
		.raw_path = { raw_path.p, raw_path.n },
		.query = span(r, r->head.query),
		.mount_len = strlen(r->app->settings->mount),
		.headers = r->headers,
		.n_headers = headers_take(r),
		.body_length = body_length_of(r),
		.scheme = r->is_https ? https : http,
		.host = { r->host.p, r->host.n },
		.remote_addr = { r->remote_text,
		    peer_text(&r->peer, r->remote_text) },
		.remote_port = peer_port(&r->peer),
		.connection_id = r->connection_id,
		.sequence = r->sequence,
		.start_ns = r->ready_ns,
	};
	server_of(r, info);
	r->info_known = true;
	return info;
}
