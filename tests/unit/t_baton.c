/*
 * The rules of worker/baton.h, by a whole worker in a thread of the test: its
 * handlers do what the test lets them do (tests/modules/mod_hook.c).
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
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
#include <netinet/in.h>
#include <prefork/module.h>

#include "common/channel.h"
#include "common/clock.h"
#include "common/heritage.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "conf/settings.h"
#include "worker/worker.h"

#define PATIENCE_S  60 /* until a test gives up; it never waits for it */
#define PATIENCE_MS 60000ull
#define CLIENTS     64
#define MEDIUM_NS   500000 /* slow for a handler that waits */

/* ---- what handlers do -------------------------------------------------- */

static sem_t entered, go;
static atomic_long tid; /* of the last handler */
static atomic_uint inside, most_inside;
static atomic_int body_result, body_bytes;

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
	atomic_store(&body_bytes, bytes);
	atomic_store(&body_result, result);
}

static void
act(const pf_host *host, pf_request *r, const char *path)
{
	if (strncmp(path, "/block", 6) == 0) {
		sem_post(&entered);
		sem_wait(&go);
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
		sem_post(&entered);
		read_body(host, r);
	}
}

static void
handle(const pf_host *host, pf_request *r)
{
	static const pf_buf ok = { .p = "ok", .n = 2 };
	const pf_info *in = host->info(r);
	unsigned n = atomic_fetch_add(&inside, 1) + 1;
	unsigned most = atomic_load(&most_inside);
	char path[32];

	while (
	    n > most && !atomic_compare_exchange_weak(&most_inside, &most, n))
		continue;
	atomic_store(&tid, syscall(SYS_gettid));
	snprintf(path, sizeof path, "%.*s", (int)in->path.n, in->path.p);
	act(host, r, path);
	atomic_fetch_sub(&inside, 1);
	if (host->respond(r, 200, NULL, 0, &ok, 1) < 0)
		host->done(r);
}

/* ---- a worker in a thread ---------------------------------------------- */

static char mod_hook[PATH_MAX];
static char empty[] = "", hook_name[] = "hook", tmp[] = "/tmp";

struct server {
	struct settings settings;
	struct app_settings app;
	struct heritage heritage;
	struct heritage_listener listener;
	struct score_slot *score;
	int channel; /* the master's end */
	struct sockaddr_in address;
	pthread_t thread;
	pid_t tid;
	sem_t started;
	int status;
};

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

static void
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
static void
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

static void
server_open(struct server *s, unsigned min, unsigned max)
{
	server_settings(s, min, max);
	server_start(s);
}

static void
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

static uint64_t
takeovers(const struct server *s)
{
	return SCORE_GET(s->score, takeovers);
}

/* ---- its clients ------------------------------------------------------- */

static int
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

static void
client_send(int fd, const char *text)
{
	size_t n = strlen(text);

	assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

static int
client_ask(const struct server *s, const char *path)
{
	char text[128];
	int fd = client_connect(s);

	snprintf(text, sizeof text, "GET %s HTTP/1.0\r\n\r\n", path);
	client_send(fd, text);
	return fd;
}

/* To the end of the connection; true: 200. */
static bool
answered(int fd)
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

static bool
get(const struct server *s, const char *path)
{
	return answered(client_ask(s, path));
}

static void
wait_entered(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	assert_int_equal(sem_timedwait(&entered, &until), 0);
}

static int
reset(void **state)
{
	(void)state;
	atomic_store(&inside, 0);
	atomic_store(&most_inside, 0);
	return sem_init(&entered, 0, 0) | sem_init(&go, 0, 0);
}

/* ---- the rules --------------------------------------------------------- */

/* false: the machine was so busy that a handler looked slow. */
static bool
hundred_fast_ones(struct server *s)
{
	bool undisturbed, one_thread = true;

	server_open(s, 1, 64);
	for (int i = 0; i < 100; i++) {
		assert_true(get(s, "/"));
		one_thread &= atomic_load(&tid) == s->tid;
	}
	undisturbed = SCORE_GET(s->score, threads) == 1;
	if (undisturbed)
		assert_true(one_thread);
	server_close(s);
	return undisturbed;
}

static void
fast_handlers_share_the_thread_of_the_loop(void **state)
{
	struct server s;
	int tries = 0;

	(void)state;
	while (!hundred_fast_ones(&s))
		assert_true(++tries < 50);
}

static void
a_handler_that_blocks_loses_the_baton(void **state)
{
	struct server s;
	int blocked;

	(void)state;
	server_open(&s, 2, 2);
	blocked = client_ask(&s, "/block");
	wait_entered();
	for (int i = 0; i < 10; i++) {
		assert_true(get(&s, "/"));
		assert_int_not_equal(atomic_load(&tid), s.tid);
	}
	assert_in_range(takeovers(&s), 1, 11);
	assert_int_equal(atomic_load(&inside), 1);
	sem_post(&go);
	assert_true(answered(blocked));
	server_close(&s);
}

static void
while_handlers_wait_as_many_run_as_may(void **state)
{
	struct server s;
	int fd[CLIENTS];

	(void)state;
	server_open(&s, 1, CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		fd[i] = client_ask(&s, "/block");
	for (int i = 0; i < CLIENTS; i++)
		wait_entered();
	assert_int_equal(atomic_load(&inside), CLIENTS);
	assert_in_range(SCORE_GET(s.score, threads), CLIENTS, CLIENTS + 1);
	for (int i = 0; i < CLIENTS; i++)
		sem_post(&go);
	for (int i = 0; i < CLIENTS; i++)
		assert_true(answered(fd[i]));
	server_close(&s);
}

static void
with_one_thread_no_two_handlers_overlap(void **state)
{
	struct server s;
	int fd[16];

	(void)state;
	server_open(&s, 1, 1);
	fd[0] = client_ask(&s, "/block");
	wait_entered();
	for (int i = 1; i < 16; i++)
		fd[i] = client_ask(&s, i % 3 == 0 ? "/spin3" : "/");
	sem_post(&go);
	for (int i = 0; i < 16; i++)
		assert_true(answered(fd[i]));
	assert_int_equal(atomic_load(&most_inside), 1);
	assert_in_range(SCORE_GET(s.score, threads), 1, 2);
	server_close(&s);
}

static void
no_more_handlers_run_than_threads_allow(void **state)
{
	struct server s;
	int fd[32];

	(void)state;
	server_open(&s, 1, 4);
	for (int i = 0; i < 32; i++)
		fd[i] = client_ask(&s, "/block");
	for (int i = 0; i < 32; i++) {
		wait_entered();
		sem_post(&go);
	}
	for (int i = 0; i < 32; i++)
		assert_true(answered(fd[i]));
	assert_in_range(atomic_load(&most_inside), 1, 4);
	server_close(&s);
}

static void
an_app_known_to_be_slow_passes_the_baton_first(void **state)
{
	struct server s;
	uint64_t before;

	(void)state;
	server_open(&s, 2, 2);
	assert_true(get(&s, "/spin20"));
	assert_true(get(&s, "/spin20"));
	before = takeovers(&s);
	for (int i = 0; i < 30; i++)
		assert_true(get(&s, "/spin2"));
	assert_int_equal(takeovers(&s), before);
	server_close(&s);
}

/* How many of the last 40 requests of 80 the first thread served. */
static unsigned
served_by_the_first(const char *path)
{
	struct server s;
	unsigned n = 0;

	server_open(&s, 2, 2);
	for (int i = 0; i < 80; i++) {
		assert_true(get(&s, path));
		n += i >= 40 && atomic_load(&tid) == s.tid;
	}
	server_close(&s);
	return n;
}

/* A busy machine may make any handler look slow, for a while. */
static void
a_handler_that_computes_half_a_millisecond_keeps_the_baton(void **state)
{
	int tries = 0;

	(void)state;
	while (served_by_the_first("/work") < 40)
		assert_true(++tries < 50);
}

static void
a_handler_that_waits_half_a_millisecond_passes_the_baton(void **state)
{
	(void)state;
	assert_in_range(served_by_the_first("/wait"), 0, 39);
}

static void
a_handler_that_waits_for_its_client_lets_others_run(void **state)
{
	struct server s;
	int fd;

	(void)state;
	server_settings(&s, 2, 2);
	s.app.stream = true;
	server_start(&s);
	fd = client_connect(&s);
	client_send(fd, "POST /body HTTP/1.0\r\nContent-Length: 5\r\n\r\n");
	wait_entered();
	for (int i = 0; i < 10; i++)
		assert_true(get(&s, "/"));
	client_send(fd, "ab");
	assert_true(get(&s, "/"));
	client_send(fd, "cde");
	assert_true(answered(fd));
	assert_int_equal(atomic_load(&body_result), PF_EOF);
	assert_int_equal(atomic_load(&body_bytes), 5);
	server_close(&s);
}

/* body_timeout is about the client; here it is the handler that takes long. */
static void
a_body_that_is_here_is_never_late(void **state)
{
	struct server s;
	int fd;

	(void)state;
	server_settings(&s, 1, 4);
	s.settings.body_timeout_ms = 400;
	server_start(&s);
	fd = client_connect(&s);
	client_send(fd, "POST /late900 HTTP/1.0\r\nContent-Length: 5\r\n\r\n");
	while (SCORE_GET(s.score, accepted) == 0)
		sched_yield();
	client_send(fd, "abcde");
	assert_true(answered(fd));
	assert_int_equal(atomic_load(&body_result), PF_EOF);
	assert_int_equal(atomic_load(&body_bytes), 5);
	server_close(&s);
}

/* The loop says so while the handler is about to answer. */
static void
a_malformed_stream_ends_in_an_answer_that_closes(void **state)
{
	struct server s;
	int fd;

	(void)state;
	server_settings(&s, 2, 2);
	s.app.stream = true;
	server_start(&s);
	for (int i = 0; i < 50; i++) {
		fd = client_connect(&s);
		client_send(fd,
		    "POST /body HTTP/1.1\r\nHost: a\r\n"
		    "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
		wait_entered();
		client_send(fd, "oh\r\n");
		assert_true(answered(fd));
		assert_int_equal(atomic_load(&body_result), PF_EPROTO);
		assert_int_equal(atomic_load(&body_bytes), 3);
	}
	server_close(&s);
}

/* A connection closed over unread bytes is reset, and the answer with it. */
static void
a_body_too_long_to_discard_does_not_cost_the_answer(void **state)
{
	struct server s;
	char *block = calloc(1, 1 << 16);
	ssize_t sent = 0;
	int fd;

	(void)state;
	assert_non_null(block);
	server_settings(&s, 1, 4);
	s.app.stream = true;
	server_start(&s);
	fd = client_connect(&s);
	client_send(fd,
	    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
	for (int i = 0; i < 16 && sent >= 0; i++)
		sent = send(fd, block, 1 << 16, MSG_NOSIGNAL);
	assert_true(sent > 0); /* a reset would say so here */
	assert_true(answered(fd));
	free(block);
	server_close(&s);
}

struct client {
	const struct server *server;
	unsigned seed;
	int failed;
};

static void *
client_main(void *arg)
{
	static const char *const paths[] = { "/", "/", "/", "/spin1",
		"/spin3" };
	struct client *c = arg;

	for (int i = 0; i < 60; i++)
		c->failed +=
		    !get(c->server, paths[(unsigned)rand_r(&c->seed) % 5]);
	return NULL;
}

static void
a_mixed_crowd_is_answered_whole(void **state)
{
	struct server s;
	struct client client[8];
	pthread_t thread[8];

	(void)state;
	server_open(&s, 1, 8);
	for (unsigned i = 0; i < 8; i++) {
		client[i] = (struct client){ .server = &s, .seed = i };
		assert_int_equal(pthread_create(&thread[i], NULL, client_main,
				     &client[i]),
		    0);
	}
	for (unsigned i = 0; i < 8; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(client[i].failed, 0);
	}
	assert_int_equal(SCORE_GET(s.score, requests), 8 * 60);
	assert_int_equal(SCORE_GET(s.score, errors_5xx), 0);
	assert_in_range(atomic_load(&most_inside), 1, 8);
	server_close(&s);
}

/* A client is answered although its worker retires meanwhile. */
static void
a_worker_that_retires_waits_for_its_handlers(void **state)
{
	struct server s;
	int fd[3];

	(void)state;
	server_open(&s, 3, 3);
	for (int i = 0; i < 3; i++)
		fd[i] = client_ask(&s, "/block");
	for (int i = 0; i < 3; i++)
		wait_entered();
	assert_int_equal(channel_send(s.channel, CHANNEL_RETIRE, "", NULL, 0),
	    0);
	while (SCORE_GET(s.score, state) != SCORE_RETIRING)
		sched_yield();
	for (int i = 0; i < 3; i++)
		sem_post(&go);
	for (int i = 0; i < 3; i++)
		assert_true(answered(fd[i]));
	server_close(&s);
}

/* ------------------------------------------------------------------------ */

static void *module;

static int
setup(void **state)
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

static int
teardown(void **state)
{
	(void)state;
	return dlclose(module);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
		    fast_handlers_share_the_thread_of_the_loop, reset),
		cmocka_unit_test_setup(a_handler_that_blocks_loses_the_baton,
		    reset),
		cmocka_unit_test_setup(while_handlers_wait_as_many_run_as_may,
		    reset),
		cmocka_unit_test_setup(with_one_thread_no_two_handlers_overlap,
		    reset),
		cmocka_unit_test_setup(no_more_handlers_run_than_threads_allow,
		    reset),
		cmocka_unit_test_setup(
		    an_app_known_to_be_slow_passes_the_baton_first, reset),
		cmocka_unit_test_setup(
		    a_handler_that_computes_half_a_millisecond_keeps_the_baton,
		    reset),
		cmocka_unit_test_setup(
		    a_handler_that_waits_half_a_millisecond_passes_the_baton,
		    reset),
		cmocka_unit_test_setup(
		    a_handler_that_waits_for_its_client_lets_others_run, reset),
		cmocka_unit_test_setup(a_body_that_is_here_is_never_late,
		    reset),
		cmocka_unit_test_setup(
		    a_malformed_stream_ends_in_an_answer_that_closes, reset),
		cmocka_unit_test_setup(
		    a_body_too_long_to_discard_does_not_cost_the_answer, reset),
		cmocka_unit_test_setup(a_mixed_crowd_is_answered_whole, reset),
		cmocka_unit_test_setup(
		    a_worker_that_retires_waits_for_its_handlers, reset),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
