/*
 * PORT, WEB_CONCURRENCY and FORWARDED_ALLOW_IPS as gunicorn reads them:
 * defaults, read before the file overrules them, so that a wrong one is a
 * mistake in any case.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/loading.h"
#include "conf/types.h"

static void
load_port(struct loading *l, const char *value)
{
	struct place p = { .origin = { .kind = ORIGIN_ENVIRONMENT,
			       .variable = "PORT" },
		.text = value };
	uint64_t port = 0;
	const char *rest = value, *why = number_parse(&rest, &port);
	char bind[32];

	if (why != NULL || *rest != '\0' || port > UINT16_MAX) {
		mistake(l, &p, "%s: must be a number from 0 to 65535", value);
		return;
	}
	snprintf(bind, sizeof bind, "0.0.0.0:%u", (unsigned)port);
	assign(l, &p,
	    &(struct assignment){ .section = "server",
		.key = "bind",
		.value = bind });
}

static void
load_concurrency(struct loading *l, const char *value)
{
	struct place p = { .origin = { .kind = ORIGIN_ENVIRONMENT,
			       .variable = "WEB_CONCURRENCY" },
		.text = value };

	assign(l, &p,
	    &(struct assignment){ .section = "server",
		.key = "workers",
		.value = value });
}

/* gunicorn trusts unix sockets in any case. */
static void
load_forwarded(struct loading *l, const char *value)
{
	struct place p = { .origin = { .kind = ORIGIN_ENVIRONMENT,
			       .variable = "FORWARDED_ALLOW_IPS" },
		.text = value };
	char *trust;

	if (asprintf(&trust, "%s,unix", value) < 0) {
		mistake(l, &p, "out of memory");
		return;
	}
	assign(l, &p,
	    &(struct assignment){ .section = "proxy",
		.key = "trust",
		.value = trust });
	free(trust);
}

/* NULL: not set, or empty, which counts as that. */
static const char *
variable(const char *const *environment, const char *name)
{
	size_t n = strlen(name);

	for (; *environment != NULL; environment++)
		if (strncmp(*environment, name, n) == 0 &&
		    (*environment)[n] == '=')
			return (*environment)[n + 1] != '\0' ?
			    *environment + n + 1 :
			    NULL;
	return NULL;
}

void
load_environment(struct loading *l, const char *const *environment)
{
	const char *value;

	if (environment == NULL)
		environment = (const char *const *)environ;
	value = variable(environment, "PORT");
	if (value != NULL)
		load_port(l, value);
	value = variable(environment, "WEB_CONCURRENCY");
	if (value != NULL)
		load_concurrency(l, value);
	value = variable(environment, "FORWARDED_ALLOW_IPS");
	if (value != NULL)
		load_forwarded(l, value);
}
