/*
 * server.ini as a struct: every value valid, defaults filled in.  Immutable
 * after loading; a reload makes a new one.
 */
#ifndef CONF_SETTINGS_H
#define CONF_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* One address of `bind`, in canonical spelling. */
struct bind_address {
	enum { BIND_TCP4, BIND_TCP6, BIND_UNIX, BIND_FD } kind;
	char *spec; /* 127.0.0.1:8000, [::1]:8000, unix:/path, fd://3,
		    fd://web */
	char *host; /* TCP: numeric; UNIX: the path; FD: a name or NULL */
	uint16_t port;
	int fd; /* BIND_FD without a name */
};

struct bind_list {
	struct bind_address *at;
	size_t n;
};

/* A network of `proxy.trust`; one address is a network of all its bits. */
struct network {
	unsigned char ip[16]; /* the first 4 of them for IPv4 */
	unsigned bits;
	bool v4;
};

/* Whose word about clients counts; see conf/trust.h. */
struct trust {
	struct network *at;
	size_t n;
	bool unix_sockets, everybody;
};

/* Fields of a proxy that are believed: bits of `proxy.fields`. */
enum {
	FORWARDING_FORWARDED = 1,
	FORWARDING_X_FOR = 2,
	FORWARDING_X_PROTO = 4,
	FORWARDING_X_HOST = 8,
};

/* Listeners whose connections begin with a PROXY header. */
struct proxied {
	bool all;
	struct bind_list some;
};

struct uint_range {
	unsigned min, max;
};

enum app_type { APP_STATIC, APP_MODULE, APP_WSGI };

/* C types of the setting types. */
#define CTYPE_bool       bool
#define CTYPE_uint       unsigned
#define CTYPE_workers    unsigned /* auto is resolved */
#define CTYPE_range      struct uint_range
#define CTYPE_mode       unsigned
#define CTYPE_percent    unsigned
#define CTYPE_msec       uint64_t
#define CTYPE_size       uint64_t
#define CTYPE_level      unsigned /* enum log_level */
#define CTYPE_string     char *   /* never NULL */
#define CTYPE_mount      char *   /* "" for "/"; no slash at the end */
#define CTYPE_path       char *   /* "" or begins with a slash */
#define CTYPE_host       char *   /* lower case; "" for any */
#define CTYPE_binds      struct bind_list
#define CTYPE_apptype    enum app_type
#define CTYPE_trust      struct trust
#define CTYPE_proxied    struct proxied
#define CTYPE_forwarding unsigned /* FORWARDING_* */

/* The rows of the table, in its order: ROW_server_bind, ROW_app_type. */
enum setting_row {
#define SETTING(sec, key, type, field, def, min, max, rl, help)                \
	ROW_##sec##_##key,
#define APP_SETTING(key, type, field, def, min, max, help) ROW_app_##key,
#include "conf/settings.def"
#undef APP_SETTING
#undef SETTING
	N_SETTINGS
};

/* Where a value came from. */
enum origin_kind {
	ORIGIN_NONE, /* not set yet; never after loading */
	ORIGIN_DEFAULT,
	ORIGIN_FILE, /* at .line of it */
	ORIGIN_OPTION,
	ORIGIN_ENVIRONMENT,
	ORIGIN_TARGET,
	ORIGIN_SERVER, /* an application took the value of [server] or [http] */
};

struct origin {
	enum origin_kind kind;
	unsigned line;
	const char *variable; /* ORIGIN_ENVIRONMENT: a literal */
};

struct pair {
	char *key, *value;
	struct origin origin;
};

struct app_settings {
	char *name;
#define SETTING(...)
#define APP_SETTING(key, type, field, def, min, max, help) CTYPE_##type field;
#include "conf/settings.def"
#undef APP_SETTING
#undef SETTING
	struct pair
	    *options; /* option.KEY, in file order, without the prefix */
	size_t n_options;
	struct origin origin; /* of the section */
	struct origin origins[N_SETTINGS];
};

/* In the table's order.
 * NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct settings {
#define SETTING(sec, key, type, field, def, min, max, rl, help)                \
	CTYPE_##type field;
#define APP_SETTING(...)
#include "conf/settings.def"
#undef APP_SETTING
#undef SETTING
	struct pair *env; /* server env.NAME, in file order */
	size_t n_env;
	struct app_settings *apps; /* in file order; at least one after load */
	size_t n_apps;
	char *file;        /* what was read; NULL: no file */
	bool workers_auto; /* workers = auto, resolved */
	struct origin origins[N_SETTINGS];
};

#endif
