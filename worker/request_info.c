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

static const pf_header *
headers_of(struct pf_request *r)
{
	for (uint32_t i = 0; i < r->head.n_fields; i++)
		r->headers[i] = (pf_header){
			.name = span(r, r->head.field[i].name),
			.value = span(r, r->head.field[i].value),
			.id = r->head.field[i].id,
			.flags = r->head.field[i].flags,
		};
	return r->headers;
}

static uint16_t
flags_of(const struct pf_request *r)
{
	unsigned flags = 0;

	flags |= r->keep ? PF_RF_KEEPALIVE : 0;
	flags |= r->head.expect_continue ? PF_RF_EXPECT : 0;
	flags |= !r->body_shared ? PF_RF_BODY_DONE : 0;
	flags |= r->peer.family == AF_UNIX ? PF_RF_UNIX : 0;
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
	if (r->peer.family == AF_UNIX) {
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
		.raw_path = span(r, r->head.raw_path),
		.query = span(r, r->head.query),
		.mount_len = strlen(r->app->settings->mount),
		.headers = headers_of(r),
		.n_headers = r->head.n_fields,
		.body_length = body_length_of(r),
		.scheme = { "http", 4 },
		.host = span(r, r->head.authority),
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
