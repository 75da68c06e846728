#include "tests/unit/worker_thread.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <prefork/module.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/worker.h"

#define PATIENCE_MS (PATIENCE_S * 1000ull)

/* ---- what handlers do -------------------------------------------------- */

struct handlers handlers;

static void
spin_ns(uint64_t ns)
{
	uint64_t until = clock_now_ns() + ns;

	while (clock_now_ns() < until)
		continue;
}

static void
spin_ms(unsigned ms)
{
	spin_ns(ms * NS_PER_MS);
}

static void
sleep_ns(long ns)
{
	nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

static void
read_body(const pf_host *host, pf_request *r)
{
	char buf[64];
	int result = PF_OK, bytes = 0;

	while (result == PF_OK) {
		bytes += (int)host->read(r, buf, sizeof buf, &result);
		if (result == PF_AGAIN)
			result = host->wait_readable(r, -1);
	}
	atomic_store(&handlers.body_bytes, bytes);
	atomic_store(&handlers.body_result, result);
}

static void
act(const pf_host *host, pf_request *r, const char *path)
{
	if (strncmp(path, "/block", 6) == 0) {
		sem_post(&handlers.entered);
		sem_wait(&handlers.go);
	} else if (strncmp(path, "/spin", 5) == 0) {
		spin_ms((unsigned)strtoul(path + 5, NULL, 10));
	} else if (strcmp(path, "/work") == 0) {
		spin_ns(MEDIUM_NS);
	} else if (strcmp(path, "/wait") == 0) {
		sleep_ns(MEDIUM_NS);
	} else if (strncmp(path, "/late", 5) == 0) {
		spin_ms((unsigned)strtoul(path + 5, NULL, 10));
		read_body(host, r);
	} else if (strncmp(path, "/body", 5) == 0) {
		sem_post(&handlers.entered);
		read_body(host, r);
	}
}

static void
handle(const pf_host *host, pf_request *r)
{
	static const pf_buf ok = { .p = "ok", .n = 2 };
	const pf_info *in = host->info(r);
	unsigned n = atomic_fetch_add(&handlers.inside, 1) + 1;
	unsigned most = atomic_load(&handlers.most_inside);
	char path[32];

	while (n > most &&
	    !atomic_compare_exchange_weak(&handlers.most_inside, &most, n))
		continue;
	atomic_store(&handlers.tid, syscall(SYS_gettid));
	snprintf(path, sizeof path, "%.*s", (int)in->path.n, in->path.p);
	act(host, r, path);
	atomic_fetch_sub(&handlers.inside, 1);
	if (host->respond(r, 200, NULL, 0, &ok, 1) < 0)
		host->done(r);
}

void
handlers_wait_entered(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	assert_int_equal(sem_timedwait(&handlers.entered, &until), 0);
}

void
handlers_assert_body(int result, int bytes)
{
	assert_int_equal(atomic_load(&handlers.body_result), result);
	assert_int_equal(atomic_load(&handlers.body_bytes), bytes);
}

int
handlers_reset(void **state)
{
	(void)state;
	atomic_store(&handlers.inside, 0);
	atomic_store(&handlers.most_inside, 0);
	return sem_init(&handlers.entered, 0, 0) | sem_init(&handlers.go, 0, 0);
}

/* ---- a worker in a thread ---------------------------------------------- */

static char mod_hook[PATH_MAX];
static char empty[] = "", hook_name[] = "hook", tmp[] = "/tmp";

static void *
server_main(void *arg)
{
	struct server *s = arg;

	s->tid = (pid_t)syscall(SYS_gettid);
	sem_post(&s->started);
	s->status = worker_main(&s->heritage);
	return NULL;
}

static void
server_listen(struct server *s)
{
	socklen_t n = sizeof s->address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	s->address = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)&s->address, n), 0);
	assert_int_equal(listen(fd, 1024), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&s->address, &n),
	    0);
	s->listener =
	    (struct heritage_listener){ .fd = fd, .spec = "127.0.0.1:0" };
}

void
server_settings(struct server *s, unsigned min, unsigned max)
{
	s->app = (struct app_settings){ .name = hook_name,
		.type = APP_MODULE,
		.target = mod_hook,
		.mount = empty,
		.warmup = empty,
		.host = empty,
		.request_timeout_ms = PATIENCE_MS,
		.max_body = 1 << 20 };
	s->settings = (struct settings){ .threads = { min, max },
		.backlog = 1024,
		.connections = 1024,
		.queue = 1024,
		.graceful_timeout_ms = PATIENCE_MS,
		.header_timeout_ms = PATIENCE_MS,
		.body_timeout_ms = PATIENCE_MS,
		.send_timeout_ms = PATIENCE_MS,
		.keepalive_timeout_ms = PATIENCE_MS,
		.max_request_line = 1024,
		.max_headers = 20,
		.max_header = 1024,
		.max_head = 4096,
		.max_body = 1 << 20,
		.body_memory = 65536,
		.body_dir = tmp,
		.apps = &s->app,
		.n_apps = 1 };
}

/* Serves once it has said READY. */
void
server_start(struct server *s)
{
	struct channel_message m = { 0 };
	int fd[2], board_fd;

	server_listen(s);
	assert_int_equal(channel_pair(fd), 0);
	s->channel = fd[0];
	s->heritage = (struct heritage){ .settings = &s->settings,
		.listeners = &s->listener,
		.n_listeners = 1,
		.scoreboard = scoreboard_new(&board_fd),
		.channel_fd = fd[1],
		.access_log_fd = -1 };
	assert_non_null(s->heritage.scoreboard);
	close(board_fd); /* the mapping stays */
	s->score = &s->heritage.scoreboard->slot[0];
	s->heritage.scoreboard->n_used = 1;
	sem_init(&s->started, 0, 0);
	assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
	sem_wait(&s->started);
	fcntl(s->channel, F_SETFL, 0); /* blocking */
	assert_int_equal(channel_receive(s->channel, &m), 1);
	assert_string_equal(m.text, "");
	assert_int_equal(m.kind, CHANNEL_READY);
}

void
server_open(struct server *s, unsigned min, unsigned max)
{
	server_settings(s, min, max);
	server_start(s);
}

void
server_close(struct server *s)
{
	assert_int_equal(channel_send(s->channel, CHANNEL_RETIRE, "", NULL, 0),
	    0);
	pthread_join(s->thread, NULL);
	assert_int_equal(s->status, WORKER_OK);
	assert_int_equal(SCORE_GET(s->score, connections), 0);
	close(s->channel);
	close(s->heritage.channel_fd);
	sem_destroy(&s->started);
	scoreboard_free(&s->heritage.scoreboard);
}

/* ---- its clients ------------------------------------------------------- */

int
client_connect(const struct server *s)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	assert_int_equal(connect(fd, (const struct sockaddr *)&s->address,
			     sizeof s->address),
	    0);
	return fd;
}

void
client_send(int fd, const char *text)
{
	size_t n = strlen(text);

	assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

int
client_ask(const struct server *s, const char *path)
{
	char text[128];
	int fd = client_connect(s);

	snprintf(text, sizeof text, "GET %s HTTP/1.0\r\n\r\n", path);
	client_send(fd, text);
	return fd;
}

/* To the end of the connection; true: 200. */
bool
client_answered(int fd)
{
	char buf[1024];
	size_t at = 0;
	ssize_t n;

	while ((n = read(fd, buf + at, sizeof buf - at)) > 0)
		at += (size_t)n;
	close(fd);
	return n == 0 && at > 12 && memcmp(buf, "HTTP/1.1 200", 12) == 0 &&
	    memcmp(buf + at - 2, "ok", 2) == 0;
}

bool
client_get(const struct server *s, const char *path)
{
	return client_answered(client_ask(s, path));
}

/* ---- for cmocka ---------------------------------------------------------- */

static void *module;

int
worker_thread_setup(void **state)
{
	char exe[PATH_MAX / 2], *slash;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	void (*hook_set)(void (*)(const pf_host *, pf_request *));

	(void)state;
	if (n <= 0)
		return -1;
	exe[n] = '\0';
	slash = strrchr(exe, '/');
	*slash = '\0';
	snprintf(mod_hook, sizeof mod_hook, "%s/../tests/mod_hook.so", exe);
	log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
	module = dlopen(mod_hook, RTLD_NOW | RTLD_LOCAL);
	if (module == NULL)
		return -1;
	*(void **)&hook_set = dlsym(module, "hook_set");
	if (hook_set == NULL)
		return -1;
	hook_set(handle);
	return 0;
}

int
worker_thread_teardown(void **state)
{
	(void)state;
	return dlclose(module);
}
