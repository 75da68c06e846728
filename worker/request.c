#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/clock.h"
#include "common/log.h"
#include "conf/settings.h"
#include "worker/conn.h"
#include "worker/core.h"
#include "worker/report.h"
#include "worker/request.h"

#define INLINE_BYTES 3072 /* of a head, without a second allocation */
#define FREE_MAX     64   /* blocks kept for the next requests */

static struct pf_request *
block_new(struct worker *w)
{
	size_t n = w->settings->max_headers;
	struct pf_request *r = malloc(sizeof *r + (n + 1) * sizeof *r->headers +
	    n * sizeof *r->fields + INLINE_BYTES);

	if (r == NULL)
		return NULL;
	memset(r, 0, sizeof *r);
	r->worker = w;
	/* what every request touches lies close together */
	r->inline_buf = (char *)(r + 1);
	r->headers = (pf_header *)(void *)(r->inline_buf + INLINE_BYTES);
	r->fields = (struct h1_field *)(r->headers + n + 1);
	gate_init(&r->gate);
	return r;
}

bool
request_prepare(struct worker *w)
{
	struct pf_request *r = w->free_requests;

	if (r != NULL)
		return true;
	r = block_new(w);
	if (r == NULL)
		return false;
	r->next = NULL;
	w->free_requests = r;
	w->n_free_requests = 1;
	return true;
}

struct pf_request *
request_new(struct worker *w, struct conn *c)
{
	struct pf_request *r = w->free_requests;

	if (r != NULL) {
		w->free_requests = r->next;
		w->n_free_requests--;
	} else {
		r = block_new(w);
		if (r == NULL)
			return NULL;
	}
	w->n_requests++;
	idle_over(w);
	r->conn = c;
	r->app = NULL;
	atomic_store_explicit(&r->phase, 0, memory_order_relaxed);
	r->buf = r->inline_buf;
	r->buf_size = INLINE_BYTES;
	r->buf_used = 0;
	r->rest = NULL;
	r->rest_n = 0;
	r->rest_owned = false;
	r->body = (struct body){ .fd = -1 };
	r->body_shared = r->continue_wanted = r->stuck = r->linger = false;
	r->peer = c->peer;
	r->over_unix = c->over_unix;
	r->host = (struct str){ "", 0 };
	r->is_https = false;
	r->listener = c->listener;
	r->connection_id = c->id;
	r->sequence = c->sequence + 1;
	r->keep = true;
	r->response = (struct response){ 0 };
	r->info_known = false;
	h1_head_init(&r->head, &w->h1_limits, r->fields);
	gate_open(&r->gate, c->fd);
	return r;
}

void
request_free(struct pf_request *r)
{
	struct worker *w = r->worker;

	pf_assert(atomic_load(&r->mail) == 0);
	report_let_go(w);
	deadline_clear(&r->deadline);
	gate_close(&r->gate);
	body_fini(&r->body);
	arena_reset(&r->arena);
	if (r->rest_owned)
		free(r->rest);
	if (r->buf != r->inline_buf)
		free(r->buf);
	w->n_requests--;
	if (w->n_free_requests < FREE_MAX) {
		r->next = w->free_requests;
		w->free_requests = r;
		w->n_free_requests++;
		return;
	}
	gate_fini(&r->gate);
	free(r);
}

void
requests_trim(struct worker *w)
{
	struct pf_request *r;

	while ((r = w->free_requests) != NULL) {
		w->free_requests = r->next;
		gate_fini(&r->gate);
		free(r);
	}
	w->n_free_requests = 0;
}

bool
request_grow(struct pf_request *r, size_t limit)
{
	size_t size = 2 * (size_t)r->buf_size;
	char *p;

	if (r->buf_used < r->buf_size)
		return true;
	if (size > limit)
		size = limit;
	if (size <= r->buf_size)
		return false;
	p = realloc(r->buf == r->inline_buf ? NULL : r->buf, size);
	if (p == NULL)
		return false;
	if (r->buf == r->inline_buf)
		memcpy(p, r->inline_buf, r->buf_used);
	r->buf = p;
	r->buf_size = (uint32_t)size;
	return true;
}

void
request_run(struct pf_request *r, void *thread_state)
{
	r->app->module->calls.on_request(r->app->state, r, thread_state);
}

bool
request_returned(struct pf_request *r)
{
	return (atomic_fetch_or(&r->phase, REQUEST_RETURNED) & REQUEST_DONE) !=
	    0;
}

bool
request_refuse(struct pf_request *r)
{
	log_errorx("app %s: thread_init of module %s failed",
	    r->app->settings->name, r->app->module->calls.name);
	(void)response_error(r, 500, 0);
	atomic_store(&r->phase, REQUEST_DONE | REQUEST_RETURNED);
	return true;
}
