#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "conf/settings.h"
#include "master/activation.h"

#define FIRST_FD    3 /* SD_LISTEN_FDS_START */
#define PASSED_MAX  64
#define NAME_BYTES  256 /* with its NUL; systemd allows 255 */
#define NUMBER_BASE 10

static struct passed {
	int fd;
	bool used;
	char name[NAME_BYTES]; /* of FileDescriptorName=; may be empty */
} passed[PASSED_MAX];
static size_t n_passed;

union address {
	struct sockaddr any;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct sockaddr_storage room;
};

/* -1: not set, or not a number. */
static long
number_of(const char *variable)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	const char *text = getenv(variable);
	char *end;
	long n;

	if (text == NULL || *text == '\0')
		return -1;
	errno = 0;
	n = strtol(text, &end, NUMBER_BASE);
	return errno != 0 || *end != '\0' ? -1 : n;
}

/* Names are separated by colons; there may be fewer than sockets. */
static void
take_names(const char *names)
{
	for (size_t i = 0; names != NULL && i < n_passed; i++) {
		size_t n = strcspn(names, ":");

		snprintf(passed[i].name, sizeof passed[i].name, "%.*s", (int)n,
		    names);
		names = names[n] == ':' ? names + n + 1 : NULL;
	}
}

void
activation_take(void)
{
	long n = number_of("LISTEN_FDS");

	if (number_of("LISTEN_PID") == (long)getpid() && n > 0) {
		if (n > PASSED_MAX) {
			log_warnx("%ld sockets were passed; those after the "
				  "first %d are not looked at",
			    n, PASSED_MAX);
			n = PASSED_MAX;
		}
		n_passed = (size_t)n;
		for (size_t i = 0; i < n_passed; i++) {
			passed[i] = (struct passed){ .fd = FIRST_FD + (int)i };
			fcntl(passed[i].fd, F_SETFD, FD_CLOEXEC);
		}
		/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
		take_names(getenv("LISTEN_FDNAMES"));
	}
	/* NOLINTBEGIN(concurrency-mt-unsafe): one thread */
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	/* NOLINTEND(concurrency-mt-unsafe) */
}

static bool
is_bound_to(int fd, const struct bind_address *b)
{
	union address a;
	socklen_t n = sizeof a;
	unsigned char ip[sizeof(struct in6_addr)];

	memset(&a, 0, sizeof a);
	if (getsockname(fd, &a.any, &n) < 0)
		return false;
	switch (b->kind) {
	case BIND_TCP4:
		return a.any.sa_family == AF_INET &&
		    a.in4.sin_port == htons(b->port) &&
		    inet_pton(AF_INET, b->host, ip) == 1 &&
		    memcmp(&a.in4.sin_addr, ip, sizeof a.in4.sin_addr) == 0;
	case BIND_TCP6:
		return a.any.sa_family == AF_INET6 &&
		    a.in6.sin6_port == htons(b->port) &&
		    inet_pton(AF_INET6, b->host, ip) == 1 &&
		    memcmp(&a.in6.sin6_addr, ip, sizeof a.in6.sin6_addr) == 0;
	case BIND_UNIX:
		return a.any.sa_family == AF_UNIX && a.un.sun_path[0] != '\0' &&
		    strncmp(a.un.sun_path, b->host, sizeof a.un.sun_path) == 0;
	case BIND_FD: return false;
	}
	return false;
}

int
activation_find(const struct bind_address *b)
{
	for (size_t i = 0; i < n_passed; i++) {
		struct passed *p = &passed[i];
		bool same = b->kind == BIND_FD ?
		    b->host != NULL && strcmp(p->name, b->host) == 0 :
		    is_bound_to(p->fd, b);

		if (!same)
			continue;
		p->used = true;
		return p->fd;
	}
	return -1;
}

void
activation_log_unused(void)
{
	for (size_t i = 0; i < n_passed; i++)
		if (!passed[i].used)
			log_warnx("the service manager passed socket %d "
				  "(\"%s\"), which no address of server.bind "
				  "is for",
			    passed[i].fd, passed[i].name);
}

void
activation_shed(void)
{
	for (size_t i = 0; i < n_passed; i++)
		fd_close(&passed[i].fd);
}

/* The names between colons, as they came; NULL when memory is short. */
static char *
names_text(void)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	if (out == NULL)
		return NULL;
	fputs("LISTEN_FDNAMES=", out);
	for (size_t i = 0; i < n_passed; i++)
		fprintf(out, "%s%s", i > 0 ? ":" : "", passed[i].name);
	fclose(out);
	return text;
}

size_t
activation_variables(char **out)
{
	size_t n = 0;

	if (n_passed == 0)
		return 0;
	n += asprintf(&out[n], "LISTEN_PID=%d", (int)getpid()) >= 0;
	n += asprintf(&out[n], "LISTEN_FDS=%zu", n_passed) >= 0;
	out[n] = names_text();
	return n + (out[n] != NULL);
}

void
activation_keep(bool keep)
{
	for (size_t i = 0; i < n_passed; i++)
		fcntl(passed[i].fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}
