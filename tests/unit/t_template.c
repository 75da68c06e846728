/* A template as the master sees it, when there is no channel to be had. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/channel.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "conf/settings.h"
#include "master/carry_out.h"
#include "master/master.h"
#include "master/spawn.h"
#include "master/template.h"

#define SLOTS  8
#define EVENTS 8

/* The linker puts these in the place of what they are named after. */
struct sup_plan __wrap_sup_step(struct sup *, const struct sup_event *, msec_t);
pid_t __wrap_spawn_template(struct master *, const struct deployment *,
    int *channel_fd);
int __wrap_channel_pair(int fd[2]);
int __real_channel_pair(int fd[2]);

/* What the supervisor heard, and whom it wants for that, in turn; -1: nobody.
 */
static unsigned failed[EVENTS];
static size_t n_failed;
static int wanted[EVENTS];

static bool no_channels;
static int template_end; /* its end of the channel */

struct sup_plan
__wrap_sup_step(struct sup *s, const struct sup_event *ev, msec_t now)
{
	static struct sup_action spawn;
	int slot;

	(void)s;
	(void)now;
	assert_int_equal(ev->kind, SUP_SPAWN_FAILED);
	assert_in_range(n_failed, 0, EVENTS - 1);
	slot = wanted[n_failed];
	failed[n_failed++] = ev->slot;
	if (slot < 0)
		return (struct sup_plan){ .n = 0 };
	spawn = (struct sup_action){ .kind = ACT_SPAWN,
		.slot = (unsigned)slot,
		.generation = 1 };
	return (struct sup_plan){ .n = 1, .act = &spawn };
}

int
__wrap_channel_pair(int fd[2])
{
	if (!no_channels)
		return __real_channel_pair(fd);
	errno = EMFILE;
	return -1;
}

pid_t
__wrap_spawn_template(struct master *m, const struct deployment *d,
    int *channel_fd)
{
	int fd[2];
	pid_t pid;

	(void)m;
	(void)d;
	if (channel_pair(fd) < 0)
		return -1;
	*channel_fd = fd[0];
	template_end = fd[1];
	pid = fork();
	if (pid != 0)
		return pid;
	for (;;)
		pause(); /* until it is dismissed */
}

static void
no_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop;
	(void)w;
	(void)revents;
}

/* It was given up in the place of another one, and waited for a worker that
 * nobody was going to make. */
static void
each_that_waits_is_told_that_it_gets_none(void **state)
{
	struct settings settings = { .preload = true };
	struct deployment d = { .generation = 1, .settings = &settings };
	struct master m = { .loop = ev_default_loop(EVFLAG_NOENV),
		.sup = sup_new(SLOTS),
		.deployments = &d,
		.child = calloc(SLOTS, sizeof(struct child *)),
		.unspawned = calloc(SLOTS, sizeof(unsigned)) };
	static const int then[EVENTS] = { 2, -1, -1, -1, -1, -1, -1, -1 };

	(void)state;
	ev_init(&m.tick, no_tick);
	m.scoreboard = scoreboard_new(&m.scoreboard_fd);
	memcpy(wanted, then, sizeof wanted);
	assert_int_equal(template_spawn(&m, 0, &d), 0);
	assert_int_equal(template_spawn(&m, 1, &d), 0);
	no_channels = true;
	assert_int_equal(channel_send(template_end, CHANNEL_READY, "", NULL, 0),
	    0);
	while (n_failed < 3)
		ev_run(m.loop, EVRUN_ONCE);
	no_channels = false;
	for (unsigned slot = 0; slot < 3; slot++)
		assert_int_equal(failed[slot], slot);
	assert_int_equal(n_failed, 3);
	assert_false(template_is_busy(&m));

	template_end_all(&m);
	fd_close(&template_end);
	sup_free(&m.sup);
	scoreboard_free(&m.scoreboard);
	fd_close(&m.scoreboard_fd);
	free(m.child);
	free(m.unspawned);
	ev_loop_destroy(m.loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_that_waits_is_told_that_it_gets_none),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
