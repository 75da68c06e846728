/*
 * The filter: what sandbox.def lists, and a few calls with some arguments.
 * Anything else is a SIGSYS, which worker/report.c tells with the request and
 * its stack: who tries it is either not to be sandboxed, or not ours any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "worker/sandbox.h"
#include "worker/sandbox_parts.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41 /* glibc names its memory, since 2.38 */
#endif

static const int calls[] = {
#define CALL(name) SCMP_SYS(name),
#include "worker/sandbox.def"
#undef CALL
};

#define ALL_BITS    (~(scmp_datum_t)0)
#define LOW_BITS    ((scmp_datum_t)0xffffffff) /* an int has no more */
#define SOCKET_TYPE (LOW_BITS & ~(scmp_datum_t)(SOCK_CLOEXEC | SOCK_NONBLOCK))

/* The argument number `arg`, less the bits that are not in mask, is value; a
 * mask of 0 says nothing. */
struct argument {
	unsigned arg;
	scmp_datum_t mask, value;
};

#define ARGUMENTS 2

static const struct some {
	int call;
	struct argument at[ARGUMENTS];
} some_calls[] = {
	/* no new code */
	{ SCMP_SYS(mmap), { { 2, PROT_EXEC, 0 } } },
	{ SCMP_SYS(mprotect), { { 2, PROT_EXEC, 0 } } },
	/* threads, no processes */
	{ SCMP_SYS(clone), { { 0, CLONE_THREAD, CLONE_THREAD } } },
	/* warmup asks itself; half a pair of datagrams could send to others */
	{ SCMP_SYS(socketpair),
	    { { 0, LOW_BITS, AF_UNIX }, { 1, SOCKET_TYPE, SOCK_STREAM } } },
	/* to whom it is connected, and no connection is made */
	{ SCMP_SYS(sendto), { { 4, ALL_BITS, 0 } } },
	{ SCMP_SYS(sendmsg), { { 2, MSG_FASTOPEN, 0 } } },
	/* a listener, which the others have too, would end with its reading */
	{ SCMP_SYS(shutdown), { { 1, LOW_BITS, SHUT_WR } } },
	/* to reset a connection, and no other: a listener, which the others
	 * have too, keeps its options and hands them on, and a filter could be
	 * locked there for ever.  What this one does there, accept.c undoes */
	{ SCMP_SYS(setsockopt),
	    { { 1, LOW_BITS, SOL_SOCKET }, { 2, LOW_BITS, SO_LINGER } } },
	/* nobody else's signals: no F_SETOWN */
	{ SCMP_SYS(fcntl), { { 1, LOW_BITS, F_DUPFD } } },
	{ SCMP_SYS(fcntl), { { 1, LOW_BITS, F_DUPFD_CLOEXEC } } },
	{ SCMP_SYS(fcntl), { { 1, LOW_BITS, F_GETFD } } },
	{ SCMP_SYS(fcntl), { { 1, LOW_BITS, F_SETFD } } },
	{ SCMP_SYS(fcntl), { { 1, LOW_BITS, F_GETFL } } },
	{ SCMP_SYS(fcntl), { { 1, LOW_BITS, F_GETLK } } },
	{ SCMP_SYS(fcntl), { { 1, LOW_BITS, F_SETLK } } },
	{ SCMP_SYS(fcntl), { { 1, LOW_BITS, F_SETLKW } } },
	{ SCMP_SYS(fcntl), { { 1, LOW_BITS, F_OFD_GETLK } } },
	{ SCMP_SYS(fcntl), { { 1, LOW_BITS, F_OFD_SETLK } } },
	{ SCMP_SYS(fcntl), { { 1, LOW_BITS, F_OFD_SETLKW } } },
	/* libev does.  Flags are everybody's: accept() on a listener without
	 * this one stops the others, and O_DIRECT a log */
	{ SCMP_SYS(fcntl),
	    { { 1, LOW_BITS, F_SETFL },
		{ 2, O_NONBLOCK | O_DIRECT, O_NONBLOCK } } },
	/* a thread's name */
	{ SCMP_SYS(prctl), { { 0, LOW_BITS, PR_SET_NAME } } },
	{ SCMP_SYS(prctl), { { 0, LOW_BITS, PR_GET_NAME } } },
	{ SCMP_SYS(prctl), { { 0, LOW_BITS, PR_SET_VMA } } },
	/* is it a terminal; is there something to read, or not taken yet */
	{ SCMP_SYS(ioctl), { { 1, LOW_BITS, TCGETS } } },
	{ SCMP_SYS(ioctl), { { 1, LOW_BITS, FIONREAD } } },
	{ SCMP_SYS(ioctl), { { 1, LOW_BITS, SIOCOUTQ } } },
	/* asks, and changes nothing */
	{ SCMP_SYS(prlimit64), { { 2, ALL_BITS, 0 } } },
};

/* Each returns 0 or a negative errno, as libseccomp does. */
static int
add_calls(scmp_filter_ctx f)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < sizeof calls / sizeof calls[0]; i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	return err;
}

static int
add_some(scmp_filter_ctx f, const struct some *s)
{
	struct scmp_arg_cmp cmp[ARGUMENTS];
	unsigned n = 0;

	for (; n < ARGUMENTS && s->at[n].mask != 0; n++)
		cmp[n] = SCMP_CMP(s->at[n].arg, SCMP_CMP_MASKED_EQ,
		    s->at[n].mask, s->at[n].value);
	return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, s->call, n, cmp);
}

static int
add_some_calls(scmp_filter_ctx f)
{
	int err = 0;

	for (size_t i = 0;
	     err == 0 && i < sizeof some_calls / sizeof some_calls[0]; i++)
		err = add_some(f, &some_calls[i]);
	return err;
}

/* raise() and abort(); and the flags of clone3 are in memory, where no filter
 * sees them: glibc takes clone when there is no clone3. */
static int
add_special(scmp_filter_ctx f)
{
	int err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	    SCMP_CMP(0, SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));

	if (err == 0)
		err = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS),
		    SCMP_SYS(clone3), 0);
	return err;
}

static int
load(scmp_filter_ctx f)
{
	int err = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);

	if (err == 0) /* as a 32-bit program calls: else only the thread ends */
		err = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH,
		    SCMP_ACT_KILL_PROCESS);
	if (err == 0) /* a tree: many calls, few comparisons */
		err = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (err == 0)
		err = add_calls(f);
	if (err == 0)
		err = add_some_calls(f);
	if (err == 0)
		err = add_special(f);
	return err == 0 ? seccomp_load(f) : err;
}

int
sandbox_calls(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_TRAP);
	int err;

	if (f == NULL) {
		errno = ENOMEM;
		return -1;
	}
	err = load(f);
	seccomp_release(f);
	errno = -err;
	return err == 0 ? 0 : -1;
}

/* Allocates: the thread was not in malloc(), whose own calls are allowed. */
const char *
sandbox_call_name(int call)
{
	const char *name =
	    seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);

	return name != NULL ? name : "?";
}
