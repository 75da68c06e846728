#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/scoreboard.h"
#include "worker/http/access_log.h"
#include "worker/request.h"

#define BUFFER_BYTES 65536
#define QUOTED_MAX   2048 /* bytes of a quoted part, before escaping */

int
access_log_init(struct access_log *l, int fd, struct score_slot *score)
{
	struct stat st;

	*l = (struct access_log){ .fd = fd, .score = score, .time = -1 };
	if (fd < 0)
		return 0;
	l->is_pipe = fstat(fd, &st) == 0 && !S_ISREG(st.st_mode);
	l->buf = malloc(BUFFER_BYTES);
	return l->buf != NULL ? 0 : -1;
}

void
access_log_fini(struct access_log *l)
{
	if (l->fd >= 0)
		access_log_flush(l);
	free(l->buf);
	l->buf = NULL;
}

/* Whole lines that a pipe takes in one piece; or one that is longer. */
static size_t
piece(const struct access_log *l, size_t at)
{
	const char *from = l->buf + at, *end;
	size_t n = l->n - at;

	if (!l->is_pipe || n <= PIPE_BUF)
		return n;
	end = memrchr(from, '\n', PIPE_BUF);
	if (end == NULL)
		end = memchr(from, '\n', n);
	return end != NULL ? (size_t)(end + 1 - from) : n;
}

void
access_log_flush(struct access_log *l)
{
	size_t at = 0;
	ssize_t n;

	if (l->n == 0)
		return;
	while (at < l->n) {
		n = write(l->fd, l->buf + at, piece(l, at));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	if (at < l->n && !l->failing)
		log_error("access log: lines wait, and are lost when there are "
			  "too many");
	l->failing = at < l->n;
	/* what was not taken is tried again, from where the file left off */
	l->n -= at;
	memmove(l->buf, l->buf + at, l->n);
}

/* [21/Nov/2026:06:20:19 +0000], local time */
static const char *
time_text(struct access_log *l)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec != l->time) {
		l->time = now.tv_sec;
		localtime_r(&l->time, &tm);
		strftime(l->time_text, sizeof l->time_text,
		    "%d/%b/%Y:%H:%M:%S %z", &tm);
	}
	return l->time_text;
}

/* What a client sent cannot end the quotes, the line, or a terminal's mood. */
static char *
put_quoted(char *at, struct str s)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = s.n < QUOTED_MAX ? s.n : QUOTED_MAX;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			*at++ = (char)c;
			continue;
		}
		*at++ = '\\';
		*at++ = 'x';
		*at++ = hex[c >> 4];
		*at++ = hex[c & 15];
	}
	return at;
}

static char *
put(char *at, struct str s)
{
	memcpy(at, s.p, s.n);
	return at + s.n;
}

static struct str
field(const struct pf_request *r, unsigned id)
{
	for (uint32_t i = 0; i < r->head.n_fields; i++)
		if (r->head.field[i].id == id)
			return request_str(r, r->head.field[i].value);
	return STR("-");
}

static char *
put_request_line(char *at, const struct pf_request *r)
{
	if (r->head.method.n == 0 || r->head.target.n == 0) {
		*at++ = '-'; /* it was not one */
		return at;
	}
	at = put_quoted(at, request_str(r, r->head.method));
	*at++ = ' ';
	at = put_quoted(at, request_str(r, r->head.target));
	return put(at,
	    r->head.minor >= 1 ? STR(" HTTP/1.1") : STR(" HTTP/1.0"));
}

/* At most 4 * QUOTED_MAX * 4 bytes and a little. */
static char *
put_line(struct access_log *l, char *at, const struct pf_request *r,
    unsigned status, int64_t body_bytes)
{
	char addr[PEER_TEXT_MAX];

	if (peer_text(&r->peer, addr) == 0)
		memcpy(addr, "-", 2);
	at += sprintf(at, "%s - - [%s] \"", addr, time_text(l));
	at = put_request_line(at, r);
	at += sprintf(at, "\" %u %lld \"", status, (long long)body_bytes);
	at = put_quoted(at, field(r, PF_H_REFERER));
	at = put(at, STR("\" \""));
	at = put_quoted(at, field(r, PF_H_USER_AGENT));
	return put(at, STR("\"\n"));
}

void
access_log_add(struct access_log *l, const struct pf_request *r,
    unsigned status, int64_t body_bytes)
{
	size_t room = (size_t)4 * 4 * QUOTED_MAX + 512;

	if (l->fd < 0)
		return;
	if (l->n + room > BUFFER_BYTES)
		access_log_flush(l);
	if (l->n + room > BUFFER_BYTES) {
		SCORE_ADD(l->score, log_lost, 1);
		return;
	}
	l->n = (size_t)(put_line(l, l->buf + l->n, r, status, body_bytes) -
	    l->buf);
}
