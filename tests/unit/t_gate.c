#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/net/gate.h"

#define FILE_BYTES 5000000

/* A gate before one end of a connection; the test reads the other. */
struct pair {
	struct gate gate;
	int client;
	size_t read; /* bytes, checked against the pattern */
};

/* What is sent is always the next part of this; long enough for every test. */
static char *pattern;
static int file; /* the pattern again */

static int
setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN); /* a worker has a handler: sendfile */
	pattern = malloc(FILE_BYTES);
	file = memfd_create("t_gate", MFD_CLOEXEC);
	if (pattern == NULL || file < 0)
		return -1;
	for (size_t i = 0; i < FILE_BYTES; i++)
		pattern[i] = (char)(i * 7 + i / 251);
	return write(file, pattern, FILE_BYTES) == FILE_BYTES ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	free(pattern);
	return close(file);
}

static void
pair_open(struct pair *p)
{
	int fd[2], small = 4096;

	*p = (struct pair){ 0 };
	assert_int_equal(socketpair(AF_UNIX,
			     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd),
	    0);
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	p->client = fd[1];
	gate_init(&p->gate);
	gate_open(&p->gate, fd[0]);
}

static void
pair_close(struct pair *p)
{
	int fd = p->gate.fd;

	(void)gate_abandon(&p->gate);
	gate_fini(&p->gate);
	if (fd >= 0)
		close(fd);
	if (p->client >= 0)
		close(p->client);
}

/* What has come; -1: and the end of it. */
static int
client_read(struct pair *p)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(p->client, buf, sizeof buf)) > 0) {
		assert_memory_equal(buf, pattern + p->read, (size_t)n);
		p->read += (size_t)n;
	}
	return n == 0 ? -1 : 0;
}

static int
send_in_order(struct pair *p, struct gate_part *parts, size_t n,
    enum gate_order order)
{
	int result;

	pthread_mutex_lock(&p->gate.lock);
	result = gate_send(&p->gate, parts, n, order);
	pthread_mutex_unlock(&p->gate.lock);
	return result;
}

static int
send_parts(struct pair *p, struct gate_part *parts, size_t n)
{
	return send_in_order(p, parts, n, GATE_NEXT);
}

static int
send_bytes(struct pair *p, size_t at, size_t n)
{
	struct gate_part part = { .p = pattern + at, .n = n };

	return send_parts(p, &part, 1);
}

static int
send_last(struct pair *p, size_t at, size_t n)
{
	struct gate_part parts[] = {
		{ .p = pattern + at, .n = n / 2 },
		{ .p = pattern + at + n / 2, .n = n - n / 2 },
	};

	return send_in_order(p, parts, 2, GATE_LAST);
}

static int
send_file(struct pair *p, int fd, size_t at, size_t n)
{
	int result;

	pthread_mutex_lock(&p->gate.lock);
	result = gate_sendfile(&p->gate, fd, (int64_t)at, (int64_t)n);
	pthread_mutex_unlock(&p->gate.lock);
	return result;
}

/* The loop and the client in turn, until `total` bytes have come. */
static void
flush_all(struct pair *p, size_t total)
{
	while (gate_flush(&p->gate) == PF_AGAIN)
		assert_int_equal(client_read(p), 0);
	client_read(p);
	assert_int_equal(p->read, total);
	assert_int_equal(p->gate.sent_bytes, total);
	assert_int_equal(p->gate.queued_bytes, 0);
	assert_null(p->gate.first);
}

/* Fills the socket, so that what follows must queue; bytes sent. */
static size_t
fill(struct pair *p)
{
	size_t n = 0;

	while (p->gate.first == NULL) {
		assert_int_equal(send_bytes(p, n, 1000), PF_OK);
		n += 1000;
	}
	return n;
}

/* A release function that may not be called twice, or with the lock held. */
struct loan {
	struct gate *gate;
	atomic_int released;
};

static void
loan_release(void *ud)
{
	struct loan *l = ud;

	assert_int_equal(pthread_mutex_trylock(&l->gate->lock), 0);
	pthread_mutex_unlock(&l->gate->lock);
	assert_int_equal(atomic_fetch_add(&l->released, 1), 0);
}

/* As worker/http/response.c: what is still set is the caller's. */
static int
send_loan(struct pair *p, struct loan *l, size_t at, size_t n)
{
	struct gate_part part = { pattern + at, n, loan_release, l };
	int result;

	*l = (struct loan){ .gate = &p->gate };
	result = send_parts(p, &part, 1);
	if (part.release != NULL)
		part.release(part.ud);
	return result;
}

static void
what_the_socket_takes_is_not_queued(void **state)
{
	struct gate_part parts[3] = { 0 };
	struct pair p;

	(void)state;
	pair_open(&p);
	assert_int_equal(send_bytes(&p, 0, 100), PF_OK);
	parts[0] = (struct gate_part){ .p = pattern + 100, .n = 50 };
	parts[1] = (struct gate_part){ .p = pattern, .n = 0 };
	parts[2] = (struct gate_part){ .p = pattern + 150, .n = 50 };
	assert_int_equal(send_parts(&p, parts, 3), PF_OK);
	assert_int_equal(send_parts(&p, parts, 0), PF_OK);
	assert_int_equal(send_file(&p, file, 200, 100), PF_OK);
	assert_null(p.gate.first);
	assert_int_equal(p.gate.sent_bytes, 300);
	client_read(&p);
	assert_int_equal(p.read, 300);
	pair_close(&p);
}

static void
what_it_does_not_take_waits_in_order(void **state)
{
	struct loan loans[2];
	struct pair p;
	size_t at;

	(void)state;
	pair_open(&p);
	at = fill(&p);
	for (unsigned round = 0; round < 3; round++) {
		assert_true(send_bytes(&p, at, 3000) >= 0);
		at += 3000;
		assert_true(send_bytes(&p, at, 9000) >= 0);
		at += 9000;
		if (round < 2) {
			assert_true(send_loan(&p, &loans[round], at, 700) >= 0);
			at += 700;
		}
		assert_true(send_bytes(&p, at, 1) >= 0);
		at += 1;
		assert_true(send_file(&p, file, at, 20000) >= 0);
		at += 20000;
	}
	assert_int_equal(loans[0].released, 0);
	assert_int_equal(p.gate.sent_bytes + p.gate.queued_bytes, at);
	flush_all(&p, at);
	assert_int_equal(loans[0].released, 1);
	assert_int_equal(loans[1].released, 1);
	pair_close(&p);
}

static void
random_pieces_keep_their_order(void **state)
{
	static struct loan loans[4000];
	struct pair p;
	size_t at = 0, n_loans = 0;

	(void)state;
	srandom(3);
	pair_open(&p);
	for (unsigned i = 0; i < 3000; i++) {
		size_t n = 1 + (size_t)random() % (i % 50 == 0 ? 9000 : 300);
		int result;

		switch (random() % 5) {
		case 0: result = send_file(&p, file, at, n); break;
		case 1: result = send_loan(&p, &loans[n_loans++], at, n); break;
		case 2:
			n = 0;
			result = gate_flush(&p.gate);
			break;
		case 3:
			assert_int_equal(client_read(&p), 0);
			__attribute__((fallthrough));
		default: result = send_bytes(&p, at, n);
		}
		assert_true(result >= 0);
		at += n;
		assert_int_equal(p.gate.sent_bytes + p.gate.queued_bytes, at);
	}
	flush_all(&p, at);
	for (size_t i = 0; i < n_loans; i++)
		assert_int_equal(loans[i].released, 1);
	pair_close(&p);
}

static void
above_high_a_writer_is_told_to_wait(void **state)
{
	struct pair p;
	size_t at, n;

	(void)state;
	pair_open(&p);
	at = fill(&p);
	n = GATE_HIGH_BYTES - p.gate.queued_bytes;
	assert_int_equal(send_bytes(&p, at, n), PF_OK);
	assert_int_equal(send_bytes(&p, at + n, 1), PF_AGAIN);
	assert_int_equal(send_file(&p, file, at + n + 1, 1), PF_AGAIN);
	flush_all(&p, at + n + 2);
	assert_int_equal(send_bytes(&p, at + n + 2, 1), PF_OK);
	pair_close(&p);
}

/* Waits below LOW, as wait_writable does. */
struct waiter {
	struct pair *pair;
	pthread_barrier_t waits;
	bool abandoned;
	size_t queued;
};

static void *
wait_for_room(void *arg)
{
	struct waiter *w = arg;
	struct gate *g = &w->pair->gate;

	pthread_mutex_lock(&g->lock);
	pthread_barrier_wait(&w->waits);
	while (!g->abandoned && g->queued_bytes >= GATE_LOW_BYTES)
		pthread_cond_wait(&g->changed, &g->lock);
	w->abandoned = g->abandoned;
	w->queued = g->queued_bytes;
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

static void
waiter_start(struct waiter *w, struct pair *p, pthread_t *thread)
{
	*w = (struct waiter){ .pair = p };
	pthread_barrier_init(&w->waits, NULL, 2);
	assert_int_equal(pthread_create(thread, NULL, wait_for_room, w), 0);
	pthread_barrier_wait(&w->waits);
	/* the lock is free once it really waits */
	pthread_mutex_lock(&p->gate.lock);
	pthread_mutex_unlock(&p->gate.lock);
}

static void
a_flush_below_low_wakes_the_writer(void **state)
{
	struct waiter w;
	struct pair p;
	pthread_t thread;
	size_t at;

	(void)state;
	pair_open(&p);
	at = fill(&p);
	assert_int_equal(send_bytes(&p, at, 200000), PF_AGAIN);
	at += 200000;
	waiter_start(&w, &p, &thread);
	flush_all(&p, at);
	pthread_join(thread, NULL);
	assert_false(w.abandoned);
	assert_true(w.queued < GATE_LOW_BYTES);
	pthread_barrier_destroy(&w.waits);
	pair_close(&p);
}

static void
abandoning_drops_what_waits_and_wakes_the_writer(void **state)
{
	struct loan queued, late;
	struct waiter w;
	struct pair p;
	pthread_t thread;
	size_t at;
	int fd;

	(void)state;
	pair_open(&p);
	fd = p.gate.fd;
	at = fill(&p);
	assert_int_equal(send_loan(&p, &queued, at, 100000), PF_OK);
	assert_int_equal(send_file(&p, file, 0, 100000), PF_AGAIN);
	waiter_start(&w, &p, &thread);
	assert_false(gate_abandon(&p.gate));
	pthread_join(thread, NULL);
	assert_true(w.abandoned);
	assert_int_equal(queued.released, 1);
	assert_int_equal(p.gate.queued_bytes, 0);
	assert_int_equal(p.gate.fd, -1);
	assert_int_equal(send_bytes(&p, 0, 1), PF_ECLOSED);
	assert_int_equal(send_loan(&p, &late, 0, 1), PF_ECLOSED);
	assert_int_equal(late.released, 1);
	assert_int_equal(send_file(&p, file, 0, 1), PF_ECLOSED);
	assert_int_equal(gate_flush(&p.gate), PF_ECLOSED);
	pthread_barrier_destroy(&w.waits);
	pair_close(&p);
	close(fd);
}

static void
abandoning_in_the_middle_of_something_breaks_the_gate(void **state)
{
	struct pair p;
	int fd;

	(void)state;
	pair_open(&p);
	fd = p.gate.fd;
	assert_int_equal(send_bytes(&p, 0, FILE_BYTES), PF_AGAIN);
	assert_true(p.gate.sent_bytes > 0);
	assert_false(gate_abandon(&p.gate));
	assert_true(p.gate.broken); /* nothing can follow a part of it */
	pair_close(&p);
	close(fd);
	pair_open(&p);
	fd = p.gate.fd;
	assert_false(gate_abandon(&p.gate));
	assert_false(p.gate.broken);
	pair_close(&p);
	close(fd);
}

static void
abandoning_tells_whether_a_response_had_begun(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	p.gate.committed = true;
	assert_true(gate_abandon(&p.gate));
	gate_open(&p.gate, -1);
	assert_false(gate_abandon(&p.gate));
	p.gate.fd = -1;
	pair_close(&p);
}

static void
the_last_bytes_wait_for_the_loop_that_will_flush(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	p.gate.may_defer = true;
	assert_int_equal(send_last(&p, 0, 700), PF_OK);
	assert_true(p.gate.deferred);
	client_read(&p);
	assert_int_equal(p.read, 0);
	assert_int_equal(gate_flush(&p.gate), PF_OK);
	assert_false(p.gate.deferred);
	client_read(&p);
	assert_int_equal(p.read, 700);
	pair_close(&p);
}

static void
nothing_waits_for_a_loop_that_will_not_flush(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	p.gate.may_defer = true;
	assert_int_equal(send_last(&p, 0, 700), PF_OK);
	assert_true(gate_defer_no_more(&p.gate));
	assert_false(gate_defer_no_more(&p.gate));
	assert_int_equal(gate_flush(&p.gate), PF_OK);
	assert_int_equal(send_last(&p, 700, 900), PF_OK);
	client_read(&p);
	assert_int_equal(p.read, 1600);
	pair_close(&p);
}

static void
large_bytes_and_such_as_are_not_the_last_do_not_wait(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	p.gate.may_defer = true;
	assert_int_equal(send_bytes(&p, 0, 500), PF_OK);
	client_read(&p);
	assert_int_equal(p.read, 500);
	assert_int_equal(send_last(&p, 500, 100000), PF_OK);
	assert_false(p.gate.deferred);
	client_read(&p);
	assert_true(p.read > 500);
	flush_all(&p, 100500);
	pair_close(&p);
}

static void
a_client_that_is_gone_is_noticed_by_a_write(void **state)
{
	struct loan l;
	struct pair p;

	(void)state;
	pair_open(&p);
	close(p.client);
	p.client = -1;
	assert_int_equal(send_loan(&p, &l, 0, 100), PF_ECLOSED);
	assert_int_equal(l.released, 1);
	assert_true(p.gate.broken);
	assert_int_equal(send_bytes(&p, 0, 1), PF_ECLOSED);
	pair_close(&p);
	pair_open(&p);
	close(p.client);
	p.client = -1;
	assert_int_equal(send_file(&p, file, 0, 100), PF_ECLOSED);
	pair_close(&p);
}

static void
a_client_that_is_gone_is_noticed_by_a_flush(void **state)
{
	struct loan l;
	struct pair p;
	size_t at;

	(void)state;
	pair_open(&p);
	at = fill(&p);
	assert_int_equal(send_loan(&p, &l, at, 100), PF_OK);
	close(p.client);
	p.client = -1;
	assert_int_equal(gate_flush(&p.gate), PF_ECLOSED);
	assert_true(p.gate.broken);
	pair_close(&p);
	assert_int_equal(l.released, 1);
}

/* At the latest when it is flushed: what was promised cannot be kept. */
static void
a_file_shorter_than_promised_breaks_the_connection(void **state)
{
	struct pair p;
	int short_file = memfd_create("short", MFD_CLOEXEC);
	int result;

	(void)state;
	assert_int_equal(write(short_file, pattern, 1000), 1000);
	pair_open(&p);
	result = send_file(&p, short_file, 0, 1001);
	if (result == PF_OK)
		result = gate_flush(&p.gate);
	assert_int_equal(result, PF_ECLOSED);
	assert_true(p.gate.broken);
	client_read(&p);
	assert_int_equal(p.read, 1000);
	pair_close(&p);
	close(short_file);
}

static void
a_queued_file_outlives_the_callers_descriptor(void **state)
{
	struct pair p;
	int own = fcntl(file, F_DUPFD_CLOEXEC, 0);
	size_t at;

	(void)state;
	pair_open(&p);
	at = fill(&p);
	assert_true(send_file(&p, own, at, 100000) >= 0);
	close(own);
	flush_all(&p, at + 100000);
	pair_close(&p);
}

/* Reads as fast as it can. */
static void *
read_all(void *arg)
{
	struct pair *p = arg;
	struct pollfd fd = { .fd = p->client, .events = POLLIN };

	while (client_read(p) == 0)
		poll(&fd, 1, -1);
	return NULL;
}

/* However fast its client is: others have their turn after some megabytes. */
static void
no_file_keeps_the_loop_for_ever(void **state)
{
	struct pair p;
	pthread_t thread;
	uint64_t before;
	int result;

	(void)state;
	pair_open(&p);
	assert_int_equal(pthread_create(&thread, NULL, read_all, &p), 0);
	result = send_file(&p, file, 0, FILE_BYTES);
	assert_true(p.gate.sent_bytes <= 0x200000);
	while (result >= 0 && p.gate.first != NULL) {
		before = p.gate.sent_bytes;
		result = gate_flush(&p.gate);
		assert_true(p.gate.sent_bytes - before <= 0x200000);
	}
	assert_int_equal(p.gate.sent_bytes, FILE_BYTES);
	shutdown(p.gate.fd, SHUT_WR);
	pthread_join(thread, NULL);
	assert_int_equal(p.read, FILE_BYTES);
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_socket_takes_is_not_queued),
		cmocka_unit_test(what_it_does_not_take_waits_in_order),
		cmocka_unit_test(random_pieces_keep_their_order),
		cmocka_unit_test(above_high_a_writer_is_told_to_wait),
		cmocka_unit_test(a_flush_below_low_wakes_the_writer),
		cmocka_unit_test(
		    abandoning_drops_what_waits_and_wakes_the_writer),
		cmocka_unit_test(
		    abandoning_in_the_middle_of_something_breaks_the_gate),
		cmocka_unit_test(abandoning_tells_whether_a_response_had_begun),
		cmocka_unit_test(
		    the_last_bytes_wait_for_the_loop_that_will_flush),
		cmocka_unit_test(nothing_waits_for_a_loop_that_will_not_flush),
		cmocka_unit_test(
		    large_bytes_and_such_as_are_not_the_last_do_not_wait),
		cmocka_unit_test(a_client_that_is_gone_is_noticed_by_a_write),
		cmocka_unit_test(a_client_that_is_gone_is_noticed_by_a_flush),
		cmocka_unit_test(
		    a_file_shorter_than_promised_breaks_the_connection),
		cmocka_unit_test(a_queued_file_outlives_the_callers_descriptor),
		cmocka_unit_test(no_file_keeps_the_loop_for_ever),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
