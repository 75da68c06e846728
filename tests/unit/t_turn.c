/* What a turn of the loop reads, and what it leaves for the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/conn.h"
#include "worker/core.h"
#include "worker/http/h1_conn.h"

#define CONNS 300
#define TURNS 20

/* A turn reads 128 of them. */
#define WAITS_TURNS 4

static struct worker w;
static struct conn conns[CONNS];

static void
late(struct deadline *d, void *arg)
{
	(void)d;
	(void)arg;
}

/* A file stands for a client that always has more; how much was read of it is
 * its offset. */
static void
conn_of_file(struct conn *c)
{
	c->worker = &w;
	c->state = CONN_LINGERING;
	c->linger_until_ns = UINT64_MAX;
	c->fd = memfd_create("client", 0);
	assert_true(c->fd >= 0);
	assert_int_equal(ftruncate(c->fd, 1 << 30), 0);
	ev_init(&c->io, NULL);
	ev_io_set(&c->io, c->fd, EV_READ);
	conn_watch(c, EV_READ);
}

static int
setup(void **state)
{
	(void)state;
	w.loop = ev_loop_new(EVFLAG_AUTO);
	w.scratch = malloc(WORKER_SCRATCH_BYTES);
	TAILQ_INIT(&w.passed_over);
	deadlines_init(&w.deadlines, w.loop);
	deadline_list_init(&w.deadlines, &w.linger, 1, late, &w);
	for (size_t i = 0; i < CONNS; i++)
		conn_of_file(&conns[i]);
	return w.loop != NULL && w.scratch != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < CONNS; i++) {
		ev_io_stop(w.loop, &conns[i].io);
		deadline_clear(&conns[i].deadline);
		close(conns[i].fd);
	}
	deadlines_stop(&w.deadlines);
	ev_loop_destroy(w.loop);
	free(w.scratch);
	return 0;
}

/* As libev does it: those that are watched, always in the same order. */
static void
turn(void)
{
	w.piece_reads = 0;
	h1_read_passed_over(&w);
	for (size_t i = 0; i < CONNS; i++)
		if (ev_is_active(&conns[i].io))
			h1_readable(&conns[i]);
}

static unsigned
reads_of(const struct conn *c)
{
	return (unsigned)(lseek(c->fd, 0, SEEK_CUR) / WORKER_SCRATCH_BYTES);
}

static void
nobody_is_passed_over_while_others_are_read_again(void **state)
{
	unsigned least = TURNS, sum = 0;

	(void)state;
	for (int n = 0; n < TURNS; n++)
		turn();
	for (size_t i = 0; i < CONNS; i++) {
		unsigned n = reads_of(&conns[i]);

		least = n < least ? n : least;
		sum += n;
	}
	assert_true(sum < TURNS * CONNS); /* a turn did not read all of them */
	assert_true(least >= TURNS / WAITS_TURNS);
}

static void
who_has_had_its_turn_waits_no_more(void **state)
{
	struct conn *c;

	(void)state;
	turn();
	c = TAILQ_FIRST(&w.passed_over);
	assert_non_null(c);
	conn_has_its_turn(c);
	assert_false(c->is_passed_over);
	assert_ptr_not_equal(TAILQ_FIRST(&w.passed_over), c);
	assert_true(ev_is_active(&c->io));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    nobody_is_passed_over_while_others_are_read_again),
		cmocka_unit_test(who_has_had_its_turn_waits_no_more),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
