/* Messages between master and worker. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/channel.h"
#include "common/fd.h"

static int
open_pair(void **state)
{
	static int fd[2];

	*state = fd;
	return channel_pair(fd);
}

static int
close_pair(void **state)
{
	int *fd = *state;

	fd_close(&fd[0]);
	fd_close(&fd[1]);
	return 0;
}

static void
a_message_arrives_as_it_was_sent(void **state)
{
	const int *fd = *state;
	struct channel_message m;

	assert_int_equal(channel_send(fd[1], CHANNEL_FAILED, "no moon", NULL,
			     0),
	    0);
	assert_int_equal(channel_send(fd[1], CHANNEL_READY, "", NULL, 0), 0);
	assert_int_equal(channel_receive(fd[0], &m), 1);
	assert_int_equal(m.kind, CHANNEL_FAILED);
	assert_string_equal(m.text, "no moon");
	assert_int_equal(m.fd[0], -1);
	assert_int_equal(channel_receive(fd[0], &m), 1);
	assert_int_equal(m.kind, CHANNEL_READY);
	assert_string_equal(m.text, "");
}

static void
nothing_waiting_is_eagain(void **state)
{
	const int *fd = *state;
	struct channel_message m;

	assert_int_equal(channel_receive(fd[0], &m), -1);
	assert_int_equal(errno, EAGAIN);
}

static void
the_death_of_the_other_side_is_eof(void **state)
{
	int *fd = *state;
	struct channel_message m;

	channel_send(fd[1], CHANNEL_RECYCLE, "last words", NULL, 0);
	fd_close(&fd[1]);
	assert_int_equal(channel_receive(fd[0], &m), 1);
	assert_string_equal(m.text, "last words");
	assert_int_equal(channel_receive(fd[0], &m), 0);
	assert_int_equal(channel_send(fd[0], CHANNEL_RETIRE, "", NULL, 0), -1);
	assert_int_equal(errno, EPIPE);
}

static void
a_text_that_is_too_long_is_cut(void **state)
{
	const int *fd = *state;
	char text[2 * CHANNEL_TEXT_MAX];
	struct channel_message m;

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	assert_int_equal(channel_send(fd[1], CHANNEL_FAILED, text, NULL, 0), 0);
	assert_int_equal(channel_receive(fd[0], &m), 1);
	assert_int_equal(strlen(m.text), CHANNEL_TEXT_MAX - 1);
	assert_memory_equal(m.text, text, CHANNEL_TEXT_MAX - 1);
}

static void
files_are_passed_and_close_on_exec(void **state)
{
	const int *fd = *state;
	int file[2];
	struct channel_message m;
	char c;

	assert_int_equal(pipe(file), 0);
	assert_int_equal(channel_send(fd[0], CHANNEL_REOPEN, "", file, 2), 0);
	fd_close(&file[0]);
	assert_int_equal(channel_receive(fd[1], &m), 1);
	assert_int_equal(m.kind, CHANNEL_REOPEN);
	assert_true(m.fd[0] >= 0 && m.fd[1] >= 0);
	assert_true((fcntl(m.fd[0], F_GETFD) & FD_CLOEXEC) != 0);
	assert_int_equal(write(file[1], "x", 1), 1);
	assert_int_equal(read(m.fd[0], &c, 1), 1);
	fd_close(&file[1]);
	fd_close(&m.fd[0]);
	fd_close(&m.fd[1]);
	assert_int_equal(m.fd[0], -1);
}

static void
one_file_leaves_the_other_absent(void **state)
{
	const int *fd = *state;
	int file[2];
	struct channel_message m;

	assert_int_equal(pipe(file), 0);
	assert_int_equal(channel_send(fd[0], CHANNEL_REOPEN, "", file, 1), 0);
	assert_int_equal(channel_receive(fd[1], &m), 1);
	assert_true(m.fd[0] >= 0);
	assert_int_equal(m.fd[1], -1);
	fd_close(&m.fd[0]);
	fd_close(&file[0]);
	fd_close(&file[1]);
}

static void
more_files_than_there_is_room_for_are_refused(void **state)
{
	const int *fd = *state;
	const int files[CHANNEL_FDS_MAX + 1] = { 0 };

	assert_int_equal(channel_send(fd[0], CHANNEL_REOPEN, "", files,
			     CHANNEL_FDS_MAX + 1),
	    -1);
	assert_int_equal(errno, EINVAL);
}

static void
a_reader_that_does_not_read_never_blocks_the_writer(void **state)
{
	const int *fd = *state;
	int sent = 0;

	while (channel_send(fd[0], CHANNEL_RETIRE, "", NULL, 0) == 0)
		assert_true(++sent < 1000000);
	assert_int_equal(errno, EAGAIN);
	assert_true(sent > 0);
}

static void
a_message_that_is_none_is_refused(void **state)
{
	const int *fd = *state;
	const uint32_t kinds[] = { 0, CHANNEL_KIND_END, UINT32_MAX };
	struct channel_message m;

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		assert_int_equal(send(fd[1], &kinds[i], sizeof kinds[i], 0),
		    sizeof kinds[i]);
		assert_int_equal(channel_receive(fd[0], &m), -1);
		assert_int_equal(errno, EPROTO);
	}
	assert_int_equal(send(fd[1], "x", 1, 0), 1);
	assert_int_equal(channel_receive(fd[0], &m), -1);
	assert_int_equal(errno, EPROTO);
}

struct heard {
	int n, fd; /* messages; the fd of the last one, which is left in it */
	int *closes;
};

static void
on_heard(void *ud, struct channel_message *m)
{
	struct heard *h = ud;

	h->n++;
	h->fd = m->fd[0];
	if (h->closes != NULL)
		fd_close(h->closes);
}

/* Once, one that said something all the time kept the master from its other
 * workers and from signals. */
static void
whoever_chatters_is_heard_a_bit_at_a_time(void **state)
{
	int *fd = *state;
	struct heard h = { 0 };
	int rounds = 0;

	for (int n = 0; n < 100; n++)
		assert_int_equal(channel_send(fd[0], CHANNEL_READY, "", NULL,
				     0),
		    0);
	for (int before = 0; h.n < 100; before = h.n, rounds++) {
		assert_int_equal(channel_hear(&fd[1], on_heard, &h), 1);
		assert_in_range(h.n, before + 1, before + 20);
	}
	assert_true(rounds > 4);
	assert_int_equal(channel_hear(&fd[1], on_heard, &h), 1);
	fd_close(&fd[0]);
	assert_int_equal(channel_hear(&fd[1], on_heard, &h), 0);
	assert_int_equal(h.n, 100);
}

static void
a_file_that_nobody_wants_is_closed(void **state)
{
	int *fd = *state;
	struct heard h = { 0 };

	assert_int_equal(channel_send(fd[0], CHANNEL_READY, "", &fd[0], 1), 0);
	assert_int_equal(channel_hear(&fd[1], on_heard, &h), 1);
	assert_true(h.n == 1 && h.fd >= 0);
	assert_int_equal(fcntl(h.fd, F_GETFD), -1);
}

static void
whoever_closes_the_channel_hears_no_more_of_it(void **state)
{
	int *fd = *state;
	struct heard h = { .closes = &fd[1] };

	for (int n = 0; n < 2; n++)
		assert_int_equal(channel_send(fd[0], CHANNEL_READY, "", NULL,
				     0),
		    0);
	assert_int_equal(channel_hear(&fd[1], on_heard, &h), 1);
	assert_int_equal(h.n, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_message_arrives_as_it_was_sent),
		T(nothing_waiting_is_eagain),
		T(the_death_of_the_other_side_is_eof),
		T(a_text_that_is_too_long_is_cut),
		T(files_are_passed_and_close_on_exec),
		T(one_file_leaves_the_other_absent),
		T(more_files_than_there_is_room_for_are_refused),
		T(a_reader_that_does_not_read_never_blocks_the_writer),
		T(a_message_that_is_none_is_refused),
		T(whoever_chatters_is_heard_a_bit_at_a_time),
		T(a_file_that_nobody_wants_is_closed),
		T(whoever_closes_the_channel_hears_no_more_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
