#include "conf/bind.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "conf/list.h"
#include "conf/settings.h"
#include "conf/types.h"

#define LIST_MAX 64
#define TEXT_MAX 255 /* of one address */

static const char *const no_memory = "out of memory";

static const char *
parse_port(const char *text, uint16_t *out)
{
	uint64_t n;
	const char *why = number_parse(&text, &n);

	if (why != NULL || *text != '\0' || n > UINT16_MAX)
		return "the port is not a number from 0 to 65535";
	*out = (uint16_t)n;
	return NULL;
}

/* Sets kind and host to the one spelling of a numeric address. */
static const char *
parse_ip(struct bind_address *a, int family, const char *host)
{
	unsigned char ip[sizeof(struct in6_addr)];
	char text[INET6_ADDRSTRLEN];

	if (inet_pton(family, host, ip) != 1 ||
	    inet_ntop(family, ip, text, sizeof text) == NULL)
		return "not an IP address; names other than localhost are not "
		       "looked up";
	a->kind = family == AF_INET ? BIND_TCP4 : BIND_TCP6;
	a->host = strdup(text);
	return a->host == NULL ? no_memory : NULL;
}

static const char *
parse_tcp6(struct bind_address *a, char *text)
{
	char *end = strchr(text, ']');
	const char *why;

	if (end == NULL || end[1] != ':')
		return "want [v6 address]:port";
	*end = '\0';
	why = parse_ip(a, AF_INET6, text + 1);
	if (why == NULL)
		why = parse_port(end + 2, &a->port);
	if (why == NULL &&
	    asprintf(&a->spec, "[%s]:%u", a->host, a->port) < 0) {
		a->spec = NULL;
		why = no_memory;
	}
	return why;
}

static const char *
parse_tcp4(struct bind_address *a, char *text)
{
	char *colon = strrchr(text, ':');
	const char *host = text, *why;

	if (colon == NULL)
		return "has no port";
	*colon = '\0';
	if (strchr(text, ':') != NULL)
		return "want [v6 address]:port";
	if (*host == '\0' || strcmp(host, "*") == 0)
		host = "0.0.0.0";
	else if (strcasecmp(host, "localhost") == 0)
		host = "127.0.0.1";
	why = parse_ip(a, AF_INET, host);
	if (why == NULL)
		why = parse_port(colon + 1, &a->port);
	if (why == NULL && asprintf(&a->spec, "%s:%u", a->host, a->port) < 0) {
		a->spec = NULL;
		why = no_memory;
	}
	return why;
}

static const char *
parse_unix(struct bind_address *a, const char *path)
{
	const char *slashes; /* that are taken away when it is read again */

	if (strncmp(path, "//", 2) == 0) /* unix:///run/x, as gunicorn has it */
		path += 2;
	if (*path == '\0')
		return "has no path";
	if (*path == '@')
		return "abstract sockets are not supported";
	if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return "the path is longer than 107 bytes";
	a->kind = BIND_UNIX;
	a->host = strdup(path);
	slashes = strncmp(path, "//", 2) == 0 ? "//" : "";
	if (a->host == NULL ||
	    asprintf(&a->spec, "unix:%s%s", slashes, path) < 0) {
		a->spec = NULL;
		return no_memory;
	}
	return NULL;
}

/* As systemd names sockets.  A name never begins with a digit. */
static const char *
parse_fd_name(struct bind_address *a, const char *name)
{
	for (const char *p = name; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f || *p == ':')
			return "the name has a character that is not allowed";
	a->kind = BIND_FD;
	a->host = strdup(name);
	if (a->host == NULL || asprintf(&a->spec, "fd://%s", name) < 0) {
		a->spec = NULL;
		return no_memory;
	}
	return NULL;
}

static const char *
parse_fd(struct bind_address *a, const char *text)
{
	uint64_t n;
	const char *why;

	if (*text != '\0' && strchr("0123456789+-", *text) == NULL)
		return parse_fd_name(a, text);
	why = number_parse(&text, &n);
	if (why != NULL || *text != '\0' || n < 3 || n > INT16_MAX)
		return "the descriptor is not a number from 3 to 32767";
	a->kind = BIND_FD;
	a->fd = (int)n;
	if (asprintf(&a->spec, "fd://%d", a->fd) < 0) {
		a->spec = NULL;
		return no_memory;
	}
	return NULL;
}

/* `text` is ours to cut up.  *a may be half filled on failure. */
static const char *
parse_address(struct bind_address *a, char *text)
{
	if (*text == '\0')
		return "has an empty address";
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(a, text + 5);
	if (strncmp(text, "fd://", 5) == 0)
		return parse_fd(a, text + 5);
	return *text == '[' ? parse_tcp6(a, text) : parse_tcp4(a, text);
}

static void
address_fini(struct bind_address *a)
{
	free(a->spec);
	free(a->host);
}

bool
bind_list_has(const struct bind_list *l, const char *spec)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->at[i].spec, spec) == 0)
			return true;
	return false;
}

static const char *
list_add(void *arg, const char *member, size_t n)
{
	struct bind_list *l = arg;
	char text[TEXT_MAX + 1];
	struct bind_address *a = &l->at[l->n];
	const char *why;

	if (l->n == LIST_MAX)
		return "has more than 64 addresses";
	if (n > TEXT_MAX)
		return "has an address of more than 255 bytes";
	memcpy(text, member, n);
	text[n] = '\0';
	*a = (struct bind_address){ .fd = -1 };
	why = parse_address(a, text);
	if (why == NULL && bind_list_has(l, a->spec))
		why = "names an address twice";
	if (why == NULL)
		l->n++;
	else
		address_fini(a);
	return why;
}

const char *
bind_list_parse(struct bind_list *l, const char *text)
{
	const char *why;

	l->n = 0;
	l->at = calloc(LIST_MAX, sizeof l->at[0]);
	if (l->at == NULL)
		return no_memory;
	why = list_parse(text, list_add, l);
	if (why != NULL)
		bind_list_fini(l);
	return why;
}

void
bind_list_fini(struct bind_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		address_fini(&l->at[i]);
	free(l->at);
	l->at = NULL;
	l->n = 0;
}
