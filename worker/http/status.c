#include "worker/http/status.h"

struct str
status_reason(unsigned status)
{
	switch (status) {
#define STATUS(code, reason)                                                   \
	case code:                                                             \
		return STR(reason);
#include "worker/http/status.def"
#undef STATUS
	default: return STR("Unknown");
	}
}
