#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define LINE_MAX_BYTES 4096
#define WHO_MAX_BYTES  64

static const char *const level_name[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

static _Atomic int the_fd = STDERR_FILENO;
static _Atomic unsigned the_level = LOG_INFO;
/* Written while the process has one thread. */
static char the_who[WHO_MAX_BYTES] = "prefork";

struct line {
	size_t n;
	bool cut; /* nothing more may be put */
	char text[LINE_MAX_BYTES];
};

/* What stays free at the end of a line: "...\n". */
#define LINE_TAIL_BYTES 4

static void
line_stamp(struct line *l, enum log_level level)
{
	struct timespec now;
	struct tm tm;
	char date[32], zone[8];
	int n;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
	strftime(zone, sizeof zone, "%z", &tm);
	n = snprintf(l->text, sizeof l->text, "%s.%03u %s [%s] %s (%d): ", date,
	    (unsigned)((unsigned long long)now.tv_nsec / NS_PER_MS), zone,
	    level_name[level], the_who, (int)getpid());
	l->n = (size_t)n;
	l->cut = false;
}

/* As many bytes as there is room for: 0, or -1 when the line is full. */
static int
line_put(struct line *l, const char *p, size_t n)
{
	if (n > sizeof l->text - LINE_TAIL_BYTES - l->n)
		return -1;
	memcpy(l->text + l->n, p, n);
	l->n += n;
	return 0;
}

/* Control bytes are escaped, so that no client's text can forge a line. */
static int
line_put_byte(struct line *l, unsigned char c)
{
	char escaped[5];

	if (c >= 0x20 && c != 0x7f)
		return line_put(l, (const char *)&c, 1);
	snprintf(escaped, sizeof escaped, "\\x%02x", (unsigned)c);
	return line_put(l, escaped, 4);
}

static void
line_put_text(struct line *l, const char *text)
{
	for (; *text != '\0' && !l->cut; text++) {
		if (line_put_byte(l, (unsigned char)*text) == 0)
			continue;
		memcpy(l->text + l->n, "...", 3);
		l->n += 3;
		l->cut = true;
	}
}

/* One write, unless the file takes it in pieces.  When it does not take it at
 * all, there is no other place to complain to. */
static void
write_whole(struct iovec *iov, int n)
{
	while (n > 0) {
		ssize_t written = writev(log_fd(), iov, n);

		if (written < 0 && errno != EINTR)
			return;
		for (; n > 0 && written >= (ssize_t)iov->iov_len; iov++, n--)
			written -= (ssize_t)iov->iov_len;
		if (n > 0 && written > 0) {
			iov->iov_base = (char *)iov->iov_base + written;
			iov->iov_len -= (size_t)written;
		}
	}
}

/* err 0: no text of errno is appended. */
LOG_FORMAT(4, 0)
static void
vlog(enum log_level level, int err, struct iovec below, const char *fmt,
    va_list ap)
{
	int saved = errno;
	char text[LINE_MAX_BYTES], why[128];
	struct line line;

	if (level > atomic_load_explicit(&the_level, memory_order_relaxed))
		return;
	vsnprintf(text, sizeof text, fmt, ap);
	line_stamp(&line, level);
	line_put_text(&line, text);
	if (err != 0) {
		line_put_text(&line, ": ");
		line_put_text(&line, strerror_r(err, why, sizeof why));
	}
	line.text[line.n++] = '\n';
	write_whole((struct iovec[]){ { line.text, line.n }, below }, 2);
	errno = saved;
}

static const struct iovec nothing = { .iov_base = NULL };

#define DEFINE_LOG(name, level, err)                                           \
	void name(const char *fmt, ...)                                        \
	{                                                                      \
		va_list ap;                                                    \
                                                                               \
		va_start(ap, fmt);                                             \
		vlog(level, err, nothing, fmt, ap);                            \
		va_end(ap);                                                    \
	}
DEFINE_LOG(log_error, LOG_ERROR, errno)
DEFINE_LOG(log_errorx, LOG_ERROR, 0)
DEFINE_LOG(log_warn, LOG_WARN, errno)
DEFINE_LOG(log_warnx, LOG_WARN, 0)
DEFINE_LOG(log_info, LOG_INFO, 0)
DEFINE_LOG(log_debug, LOG_DEBUG, 0)

void
log_at(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlog(level, 0, nothing, fmt, ap);
	va_end(ap);
}

void
log_text_at(enum log_level level, const char *text, size_t n, const char *fmt,
    ...)
{
	const struct iovec below = { .iov_base = (void *)(uintptr_t)text,
		.iov_len = n };
	va_list ap;

	va_start(ap, fmt);
	vlog(level, 0, below, fmt, ap);
	va_end(ap);
}

#define DEFINE_FATAL(name, err)                                                \
	void name(const char *fmt, ...)                                        \
	{                                                                      \
		va_list ap;                                                    \
                                                                               \
		va_start(ap, fmt);                                             \
		vlog(LOG_ERROR, err, nothing, fmt, ap);                        \
		va_end(ap);                                                    \
		exit(1); /* NOLINT(concurrency-mt-unsafe) */                   \
	}
DEFINE_FATAL(fatal, errno)
DEFINE_FATAL(fatalx, 0)

int
log_first_line(const char *text)
{
	size_t n = strcspn(text, "\n");

	return n > INT_MAX ? INT_MAX : (int)n;
}

void
log_set_fd(int fd)
{
	atomic_store_explicit(&the_fd, fd, memory_order_relaxed);
}

int
log_fd(void)
{
	return atomic_load_explicit(&the_fd, memory_order_relaxed);
}

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&the_level, level, memory_order_relaxed);
}

void
log_set_who(const char *who)
{
	snprintf(the_who, sizeof the_who, "%s", who);
}

const char *
log_who(void)
{
	return the_who;
}
