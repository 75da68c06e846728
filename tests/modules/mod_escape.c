/*
 * escape: what a worker that is no longer ours might try.
 *
 *   ?exec      runs a program
 *   ?fork      makes a process
 *   ?connect   opens a socket
 *   ?signal    sends the master a signal
 *   ?owner     has the kernel send its parent a signal, as owner of a socket
 *   ?datagram  sends a datagram to the unix socket option.socket
 *   ?fastopen  connects while it sends
 *   ?fastopen_message  the same by another call
 *   ?shutdown  closes a listener for all who have it
 *   ?filter    has the kernel drop all that comes for a listener, for ever
 *   ?blocking  has accept() of a listener wait, for all who have it
 *   ?blocking_ioctl  the same by another call
 *   ?linger    has whatever a listener accepts be reset when it is closed
 *   ?int80     makes a system call as programs of 32 bits do
 *   ?ptrace    looks into the master
 *   ?code      makes memory that can be run
 *   ?passwd    opens /etc/passwd to read it
 *   ?write     makes the file option.file
 *   ?scribble  overwrites the memory that it shares with the master
 *   ?burden    sends the master a socket whose close() takes an hour
 *   ?thread    makes a thread, which is allowed
 *   answered with the errno, or "0" when it could
 *
 *   option.early = 1   has a thread already in open()
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/modules/exchange.h"

#define SHARED_BYTES (64 << 10)

static const pf_host *host;
static const char *file, *unix_socket; /* live as long as the app */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t early;
static bool is_early;

static bool
try_exec(void)
{
	char *argv[] = { strdup("true"), NULL };

	return execv("/bin/true", argv) == 0;
}

static bool
try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid > 0 && waitpid(pid, NULL, 0) == pid;
}

static bool
try_connect(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0;
}

static bool
try_signal(void)
{
	return kill(getppid(), SIGTERM) == 0;
}

/* With F_SETSIG it could be any signal. */
static bool
try_owner(void)
{
	int pair[2];

	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 &&
	    fcntl(pair[0], F_SETOWN, getppid()) == 0 &&
	    fcntl(pair[0], F_SETFL, O_ASYNC) == 0 &&
	    write(pair[1], "x", 1) == 1;
}

/* Half a pair is a socket like any other. */
static bool
try_datagram(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int pair[2];

	snprintf(to.sun_path, sizeof to.sun_path, "%s", unix_socket);
	return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) == 0 &&
	    sendto(pair[0], "x", 1, 0, (struct sockaddr *)&to, sizeof to) == 1;
}

static int
a_listener(void)
{
	int fd = 0, yes = 0;
	socklen_t n = sizeof yes;

	while (fd < 1024 &&
	    (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &n) < 0 || !yes))
		fd++;
	return fd;
}

static bool
try_fastopen(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET };

	return sendto(a_listener(), "x", 1, MSG_FASTOPEN | MSG_DONTWAIT,
		   (struct sockaddr *)&to, sizeof to) >= 0;
}

static bool
try_fastopen_message(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct msghdr m = { .msg_name = &to, .msg_namelen = sizeof to };

	return sendmsg(a_listener(), &m, MSG_FASTOPEN | MSG_DONTWAIT) >= 0;
}

/* It can then be used as what socket() returns. */
static bool
try_shutdown(void)
{
	return shutdown(a_listener(), SHUT_RDWR) == 0;
}

static bool
try_filter(void)
{
	static struct sock_filter drop[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	static const struct sock_fprog program = { .len = 1, .filter = drop };
	static const int on = 1;
	int fd = a_listener();

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
		   sizeof program) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) == 0;
}

static bool
try_blocking(void)
{
	int fd = a_listener();

	return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0;
}

static bool
try_blocking_ioctl(void)
{
	int off = 0;

	return ioctl(a_listener(), FIONBIO, &off) == 0;
}

static bool
try_linger(void)
{
	static const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	return setsockopt(a_listener(), SOL_SOCKET, SO_LINGER, &now,
		   sizeof now) == 0;
}

/* Whoever closes it waits for somebody who never reads, until we end. */
static int
heavy_socket(void)
{
	static const struct linger hour = { .l_onoff = 1, .l_linger = 3600 };
	static const char bytes[65536];
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof to;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(listener, (struct sockaddr *)&to, n) < 0 ||
	    listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&to, &n) < 0 ||
	    connect(fd, (struct sockaddr *)&to, n) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hour, sizeof hour) < 0)
		return -1;
	while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
		continue;
	return fd;
}

/* Ours to the master. */
static int
the_channel(void)
{
	int fd = 0, type = 0;
	socklen_t n = sizeof type;

	while (fd < 1024 &&
	    (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 ||
		type != SOCK_SEQPACKET))
		fd++;
	return fd;
}

static bool
try_burden(void)
{
	uint32_t kind = 2; /* CHANNEL_FAILED, which changes nothing */
	int fd = heavy_socket();
	union {
		char bytes[CMSG_SPACE(sizeof fd)];
		struct cmsghdr head;
	} control = { .head = { .cmsg_level = SOL_SOCKET,
			  .cmsg_type = SCM_RIGHTS,
			  .cmsg_len = CMSG_LEN(sizeof fd) } };
	struct iovec iov = { &kind, sizeof kind };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control };

	memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	return sendmsg(the_channel(), &m, MSG_NOSIGNAL) == sizeof kind &&
	    close(fd) == 0;
}

/* Where numbers are others.  Does nothing on other processors. */
static bool
try_int80(void)
{
	long pid = 0;

#ifdef __x86_64__
	__asm__ volatile("int $0x80" : "=a"(pid) : "a"(20L) : "memory");
#endif
	return pid == getpid();
}

static bool
try_ptrace(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0;
}

static bool
try_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool
could_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool
try_passwd(void)
{
	return could_open("/etc/passwd", O_RDONLY);
}

static bool
try_write(void)
{
	return could_open(file, O_WRONLY | O_CREAT);
}

/* That others use it meanwhile is the point, and no finding of TSan's. */
__attribute__((no_sanitize("thread"))) static void
overwrite(volatile unsigned char *at)
{
	for (size_t i = 0; i < SHARED_BYTES; i++)
		at[i] = 0xff;
}

/* All of it but what only siblings read. */
static bool
try_scribble(void)
{
	unsigned long from = 0;
	char line[256];
	FILE *maps = fopen("/proc/self/maps", "re");

	while (maps != NULL && from == 0 && fgets(line, sizeof line, maps))
		if (strstr(line, "prefork-scoreboard") != NULL)
			from = strtoul(line, NULL, 16);
	if (maps != NULL)
		fclose(maps);
	if (from == 0)
		return false;
	overwrite((volatile unsigned char *)from);
	return true;
}

static void *
wait_for_lock(void *arg)
{
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
	return arg;
}

static bool
try_thread(void)
{
	pthread_t t;

	errno = pthread_create(&t, NULL, wait_for_lock, NULL);
	return errno == 0 && pthread_join(t, NULL) == 0;
}

static const struct attempt {
	const char *name;
	bool (*try)(void);
} attempts[] = {
	{ "exec", try_exec },
	{ "fork", try_fork },
	{ "connect", try_connect },
	{ "signal", try_signal },
	{ "owner", try_owner },
	{ "datagram", try_datagram },
	{ "fastopen", try_fastopen },
	{ "fastopen_message", try_fastopen_message },
	{ "shutdown", try_shutdown },
	{ "filter", try_filter },
	{ "blocking", try_blocking },
	{ "blocking_ioctl", try_blocking_ioctl },
	{ "linger", try_linger },
	{ "int80", try_int80 },
	{ "ptrace", try_ptrace },
	{ "code", try_code },
	{ "passwd", try_passwd },
	{ "write", try_write },
	{ "scribble", try_scribble },
	{ "burden", try_burden },
	{ "thread", try_thread },
};

#define N_ATTEMPTS (sizeof attempts / sizeof attempts[0])

static int
escape_open(const pf_host *h, pf_app *app, void *module, void **out)
{
	(void)module;
	*out = NULL;
	host = h;
	file = h->option(app, "file", "/nowhere");
	unix_socket = h->option(app, "socket", "/nowhere");
	if (h->option(app, "early", NULL) == NULL)
		return 0;
	pthread_mutex_lock(&lock);
	is_early = pthread_create(&early, NULL, wait_for_lock, NULL) == 0;
	return 0;
}

static void
escape_close(void *app)
{
	(void)app;
	if (!is_early)
		return;
	pthread_mutex_unlock(&lock);
	pthread_join(early, NULL);
}

static void
escape_request(void *app, pf_request *req, void *thread)
{
	const pf_info *in = host->info(req);
	int error = -1;

	(void)app;
	(void)thread;
	for (size_t i = 0; i < N_ATTEMPTS; i++)
		if (query_number(in, attempts[i].name, 0) != 0)
			error = attempts[i].try() ? 0 : errno;
	reply(host, req, 200, "%d", error);
}

PREFORK_MODULE(.name = "escape", .version = "1", .open = escape_open,
    .on_request = escape_request, .close = escape_close);
