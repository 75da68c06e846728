/*
 * PORT and WEB_CONCURRENCY as gunicorn reads them: defaults, read before
 * the file overrules them, so that a wrong one is a mistake in any case.
 */
#include <stdlib.h>
#include <string.h>

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

void
load_environment(struct loading *l)
{
	const char *port = getenv("PORT");
	const char *concurrency = getenv("WEB_CONCURRENCY");

	if (port != NULL && *port != '\0')
		load_port(l, port);
	if (concurrency != NULL && *concurrency != '\0')
		load_concurrency(l, concurrency);
}
