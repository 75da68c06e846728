/* In a prefork that was built without libseccomp. */
#include <stdio.h>

#include "conf/settings.h"
#include "worker/sandbox.h"

int
sandbox_check(const struct settings *s, char *err, size_t err_size)
{
	if (!s->sandbox)
		return 0;
	snprintf(err, err_size,
	    "server.sandbox = yes: this prefork was built without libseccomp");
	return -1;
}

int
sandbox_enter(const struct settings *s, char *err, size_t err_size)
{
	return sandbox_check(s, err, err_size);
}

const char *
sandbox_call_name(int call)
{
	(void)call;
	return "?";
}
