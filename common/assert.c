#include <stdlib.h>

#include "common/assert.h"
#include "common/log.h"

void
pf_assert_failed(const char *cond, const char *file, int line)
{
	log_errorx("bug: %s does not hold, %s:%d", cond, file, line);
	abort();
}
