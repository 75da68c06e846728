/* Bodies that a handler reads while they come, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <prefork/module.h>

#include "tests/unit/worker_thread.h"

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
	assert_true(client_answered(fd));
	handlers_assert_body(PF_EOF, 5);
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
		handlers_wait_entered();
		client_send(fd, "oh\r\n");
		assert_true(client_answered(fd));
		handlers_assert_body(PF_EPROTO, 3);
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
	assert_true(client_answered(fd));
	free(block);
	server_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HANDLERS_TEST(a_body_that_is_here_is_never_late),
		HANDLERS_TEST(a_malformed_stream_ends_in_an_answer_that_closes),
		HANDLERS_TEST(
		    a_body_too_long_to_discard_does_not_cost_the_answer),
	};

	return cmocka_run_group_tests(tests, worker_thread_setup,
	    worker_thread_teardown);
}
