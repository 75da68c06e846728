/* The rules of worker/baton.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <prefork/module.h>

#include "common/channel.h"
#include "common/clock.h"
#include "tests/unit/worker_thread.h"

#define CLIENTS 64

static uint64_t
takeovers(const struct server *s)
{
	return SCORE_GET(s->score, takeovers);
}

/* false: the machine was so busy that a handler looked slow. */
static bool
hundred_fast_ones(struct server *s)
{
	bool undisturbed, one_thread = true;

	server_open(s, 1, 64);
	for (int i = 0; i < 100; i++) {
		assert_true(client_get(s, "/"));
		one_thread &= atomic_load(&handlers.tid) == s->tid;
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
	uint64_t until = clock_now_ns() + PATIENCE_S * NS_PER_S;
	struct server s;

	(void)state;
	while (!hundred_fast_ones(&s))
		assert_true(clock_now_ns() < until);
}

static void
a_handler_that_blocks_loses_the_baton(void **state)
{
	struct server s;
	int blocked;

	(void)state;
	server_open(&s, 2, 2);
	blocked = client_ask(&s, "/block");
	handlers_wait_entered();
	for (int i = 0; i < 10; i++) {
		assert_true(client_get(&s, "/"));
		assert_int_not_equal(atomic_load(&handlers.tid), s.tid);
	}
	assert_in_range(takeovers(&s), 1, 11);
	assert_int_equal(atomic_load(&handlers.inside), 1);
	sem_post(&handlers.go);
	assert_true(client_answered(blocked));
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
		handlers_wait_entered();
	assert_int_equal(atomic_load(&handlers.inside), CLIENTS);
	assert_in_range(SCORE_GET(s.score, threads), CLIENTS, CLIENTS + 1);
	for (int i = 0; i < CLIENTS; i++)
		sem_post(&handlers.go);
	for (int i = 0; i < CLIENTS; i++)
		assert_true(client_answered(fd[i]));
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
	handlers_wait_entered();
	for (int i = 1; i < 16; i++)
		fd[i] = client_ask(&s, i % 3 == 0 ? "/spin3" : "/");
	sem_post(&handlers.go);
	for (int i = 0; i < 16; i++)
		assert_true(client_answered(fd[i]));
	assert_int_equal(atomic_load(&handlers.most_inside), 1);
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
		handlers_wait_entered();
		sem_post(&handlers.go);
	}
	for (int i = 0; i < 32; i++)
		assert_true(client_answered(fd[i]));
	assert_in_range(atomic_load(&handlers.most_inside), 1, 4);
	server_close(&s);
}

static void
an_app_known_to_be_slow_passes_the_baton_first(void **state)
{
	struct server s;
	uint64_t before;

	(void)state;
	server_open(&s, 2, 2);
	assert_true(client_get(&s, "/spin20"));
	assert_true(client_get(&s, "/spin20"));
	before = takeovers(&s);
	for (int i = 0; i < 30; i++)
		assert_true(client_get(&s, "/spin2"));
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
		assert_true(client_get(&s, path));
		n += i >= 40 && atomic_load(&handlers.tid) == s.tid;
	}
	server_close(&s);
	return n;
}

/* A busy machine may make any handler look slow, for a while. */
static void
a_handler_that_computes_half_a_millisecond_keeps_the_baton(void **state)
{
	uint64_t until = clock_now_ns() + PATIENCE_S * NS_PER_S;

	(void)state;
	while (served_by_the_first("/work") < 40)
		assert_true(clock_now_ns() < until);
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
	handlers_wait_entered();
	for (int i = 0; i < 10; i++)
		assert_true(client_get(&s, "/"));
	client_send(fd, "ab");
	assert_true(client_get(&s, "/"));
	client_send(fd, "cde");
	assert_true(client_answered(fd));
	handlers_assert_body(PF_EOF, 5);
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
		c->failed += !client_get(c->server,
		    paths[(unsigned)rand_r(&c->seed) % 5]);
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
	assert_in_range(atomic_load(&handlers.most_inside), 1, 8);
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
		handlers_wait_entered();
	assert_int_equal(channel_send(s.channel, CHANNEL_RETIRE, "", NULL, 0),
	    0);
	while (SCORE_GET(s.score, state) != SCORE_RETIRING)
		sched_yield();
	for (int i = 0; i < 3; i++)
		sem_post(&handlers.go);
	for (int i = 0; i < 3; i++)
		assert_true(client_answered(fd[i]));
	server_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HANDLERS_TEST(fast_handlers_share_the_thread_of_the_loop),
		HANDLERS_TEST(a_handler_that_blocks_loses_the_baton),
		HANDLERS_TEST(while_handlers_wait_as_many_run_as_may),
		HANDLERS_TEST(with_one_thread_no_two_handlers_overlap),
		HANDLERS_TEST(no_more_handlers_run_than_threads_allow),
		HANDLERS_TEST(an_app_known_to_be_slow_passes_the_baton_first),
		HANDLERS_TEST(
		    a_handler_that_computes_half_a_millisecond_keeps_the_baton),
		HANDLERS_TEST(
		    a_handler_that_waits_half_a_millisecond_passes_the_baton),
		HANDLERS_TEST(
		    a_handler_that_waits_for_its_client_lets_others_run),
		HANDLERS_TEST(a_mixed_crowd_is_answered_whole),
		HANDLERS_TEST(a_worker_that_retires_waits_for_its_handlers),
	};

	return cmocka_run_group_tests(tests, worker_thread_setup,
	    worker_thread_teardown);
}
