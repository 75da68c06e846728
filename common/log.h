/*
 * The error log: one event a line, written whole, by any thread of any
 * process.  Every call preserves errno.
 *
 *   2026-11-21 06:20:19.123 +0000 [warn] worker 1 (4711): text: errno text
 *
 * Text is lower case without a full stop.  The variants without x append the
 * text of errno; those with x do not.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stddef.h>

/* In order of importance; a line less important than the level is dropped. */
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

#define LOG_FORMAT(fmt, first) __attribute__((format(printf, fmt, first)))

void log_error(const char *, ...) LOG_FORMAT(1, 2);
void log_errorx(const char *, ...) LOG_FORMAT(1, 2);
void log_warn(const char *, ...) LOG_FORMAT(1, 2);
void log_warnx(const char *, ...) LOG_FORMAT(1, 2);
void log_info(const char *, ...) LOG_FORMAT(1, 2);
void log_debug(const char *, ...) LOG_FORMAT(1, 2);

/* A line of the given level; for callers that carry the level as a value. */
void log_at(enum log_level, const char *, ...) LOG_FORMAT(2, 3);

/* ... and n bytes of text below it, which are whole lines, as they stand: no
 * line of anybody else comes between. */
void log_text_at(enum log_level, const char *text, size_t n, const char *, ...)
    LOG_FORMAT(4, 5);

/* Bytes up to the first newline, for %.*s: of a text whose rest (a traceback)
 * stands elsewhere. */
int log_first_line(const char *);

/* Log at LOG_ERROR and exit 1.  Only on the master's way to a first start. */
_Noreturn void fatal(const char *, ...) LOG_FORMAT(1, 2);
_Noreturn void fatalx(const char *, ...) LOG_FORMAT(1, 2);

/* The fd lines go to (2 at first).  Borrowed; the caller closes the old one. */
void log_set_fd(int fd);
int log_fd(void);
void log_set_level(enum log_level);
/* "master", "worker 1": who speaks, from now on, in this process. */
void log_set_who(const char *who);
const char *log_who(void);

#endif
