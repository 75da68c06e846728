#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "master/caps.h"

#define BIT(cap) (UINT64_C(1) << (cap))

/*
 * What a master does after it has settled in: it binds low ports (a reload),
 * becomes the account of its workers in each of them, gives them logs and
 * sockets (and may have to go where only that account may), removes sockets
 * that are theirs, kills them, and takes from them what CAP_SETPCAP takes.
 */
#define MASTERS                                                                \
	(BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SETUID) | BIT(CAP_SETGID) |       \
	    BIT(CAP_CHOWN) | BIT(CAP_FOWNER) | BIT(CAP_DAC_OVERRIDE) |         \
	    BIT(CAP_KILL) | BIT(CAP_SETPCAP))

/* Never more than there are. */
static int
keep(uint64_t caps)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data) < 0)
		return -1;
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		uint32_t half = (uint32_t)(caps >> (32 * i));

		data[i].effective &= half;
		data[i].permitted &= half;
		data[i].inheritable &= half; /* and so the ambient ones */
	}
	return (int)syscall(SYS_capset, &head, data);
}

/* Fails only for those who have no CAP_SETPCAP: then nothing is lost that they
 * could have given. */
static void
bound(uint64_t caps)
{
	for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (cap >= 64 || (caps & BIT(cap)) == 0)
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

int
caps_keep_masters(void)
{
	return keep(MASTERS);
}

void
caps_bound_masters(void)
{
	bound(MASTERS);
}

int
caps_clear(void)
{
	return keep(0);
}

void
caps_bound_none(void)
{
	bound(0);
}
