/* What one program writes for its successor, and what that makes of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fd.h"
#include "common/scoreboard.h"
#include "master/state.h"
#include "master/supervisor_state.h"

struct values {
	uint64_t number;
	unsigned small;
	bool yes, no;
	int fd, no_fd;
	char *text, *nothing;
};

static void
values_state(struct values *v, struct state *s)
{
	state_number(s, "number", &v->number);
	state_unsigned(s, "small", &v->small, 10);
	state_bool(s, "yes", &v->yes);
	state_bool(s, "no", &v->no);
	state_fd(s, "fd", &v->fd);
	state_fd(s, "no_fd", &v->no_fd);
	state_text(s, "text", &v->text);
	state_text(s, "nothing", &v->nothing);
}

/* The reason why it does not load; "" if it does. */
static void
load(const char *text, struct values *v, char *why, size_t why_bytes)
{
	char *copy = strdup(text);
	FILE *f = fmemopen(copy, strlen(copy), "r");
	struct state s = STATE_LOAD(f);

	assert_non_null(f);
	*v = (struct values){ 0 };
	values_state(v, &s);
	assert_int_equal(state_ok(&s), s.why[0] == '\0');
	snprintf(why, why_bytes, "%s", s.why);
	fclose(f);
	free(copy);
}

static const char all[] = "number 18446744073709551615\nsmall 10\nyes 1\n"
			  "no 0\nfd 8\nno_fd 0\ntext 11\nline\nline 2\n"
			  "nothing 0\n\n";

static void
what_is_saved_is_loaded(void **state)
{
	char text[] = "line\nline 2", *out = NULL, why[128];
	struct values v = { .number = UINT64_MAX,
		.small = 10,
		.yes = true,
		.fd = 7,
		.no_fd = -1,
		.text = text };
	size_t n;
	FILE *f = open_memstream(&out, &n);
	struct state s = STATE_SAVE(f);

	(void)state;
	values_state(&v, &s);
	assert_true(state_ok(&s));
	fclose(f);
	assert_string_equal(out, all);
	load(out, &v, why, sizeof why);
	assert_string_equal(why, "");
	assert_true(v.number == UINT64_MAX && v.small == 10);
	assert_true(v.yes && !v.no);
	assert_int_equal(v.fd, 7);
	assert_int_equal(v.no_fd, -1);
	assert_string_equal(v.text, text);
	assert_string_equal(v.nothing, "");
	free(v.text);
	free(v.nothing);
	free(out);
}

static void
a_wrong_state_says_what_is_wrong(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "\n", "number: is not where it should be" },
		{ "numbers 1\n", "number: is not where it should be" },
		{ "number -1\n", "number: is not where it should be" },
		{ "number 1x\n", "number: is not a number" },
		{ "number 1", "number: is not a number" },
		{ "number 18446744073709551616\n", "number: is not a number" },
		{ "number 1\n", "small: is missing" },
		{ "number 1\nsmall 11\n", "small: is too large" },
		{ "number 1\nsmall 1\nyes 2\n", "yes: is too large" },
		{ "number 1\nsmall 1\nyes 1\nno 1\nfd 0\nno_fd 0\ntext 9\nx\n",
		    "text: is cut off" },
		{ "number 1\nsmall 1\nyes 1\nno 1\nfd 0\nno_fd 0\n"
		  "text 9999999999\nx\n",
		    "text: is too long" },
		{ "number 1\nsmall 1\nyes 1\nno 1\nfd 0\nno_fd 0\ntext 1\nxy\n",
		    "text: is cut off" },
	};
	struct values v;
	char why[128];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		load(cases[i].text, &v, why, sizeof why);
		assert_string_equal(why, cases[i].why);
		assert_string_equal(v.text, "");
		assert_string_equal(v.nothing, "");
		free(v.text);
		free(v.nothing);
	}
}

static void
a_state_that_ends_early_anywhere_is_wrong(void **state)
{
	struct values v;
	char why[128], cut[sizeof all];

	(void)state;
	for (size_t n = 1; n < sizeof all - 1; n++) {
		memcpy(cut, all, n);
		cut[n] = '\0';
		load(cut, &v, why, sizeof why);
		assert_string_not_equal(why, "");
		free(v.text);
		free(v.nothing);
	}
}

/* ---- the supervisor ------------------------------------------------------ */

#define SLOTS 16u

static struct sup_conf
conf(unsigned want)
{
	return (struct sup_conf){ .want = want,
		.boot_timeout = 60000,
		.grace = 30000 };
}

static void
feed(struct sup *s, enum sup_event_kind kind, unsigned slot, msec_t now)
{
	const struct sup_event ev = { .kind = kind,
		.slot = slot,
		.fate = FATE_CRASHED,
		.generation = 1,
		.conf = conf(2) };

	sup_step(s, &ev, now);
}

/* Two workers, one more by SUP_MORE, one crashed and one retiring. */
static struct sup *
busy(void)
{
	struct sup *s = sup_new(SLOTS);

	assert_non_null(s);
	feed(s, SUP_START, 0, 0);
	feed(s, SUP_READY, 0, 1);
	feed(s, SUP_READY, 1, 1);
	feed(s, SUP_MORE, 0, 2);
	feed(s, SUP_READY, 2, 3);
	feed(s, SUP_RECYCLE, 1, 4);
	feed(s, SUP_READY, 3, 5); /* 1 retires */
	feed(s, SUP_TOO_LARGE, 3, 5);
	feed(s, SUP_EXITED, 0, 6);
	return s;
}

static struct sup *
hand_over(struct sup *from)
{
	struct sup *to = sup_new(SLOTS);
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	struct state s = STATE_SAVE(f);

	sup_image(from, &s);
	assert_true(state_ok(&s));
	fclose(f);
	f = fmemopen(text, n, "r");
	s = STATE_LOAD(f);
	sup_image(to, &s);
	assert_true(state_ok(&s));
	assert_int_equal(getc(f), EOF);
	fclose(f);
	free(text);
	return to;
}

static bool
same_plan(struct sup_plan a, struct sup_plan b)
{
	if (a.n != b.n || a.wake_at != b.wake_at)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (a.act[i].kind != b.act[i].kind ||
		    a.act[i].slot != b.act[i].slot ||
		    a.act[i].why != b.act[i].why ||
		    a.act[i].generation != b.act[i].generation)
			return false;
	return true;
}

static void
a_supervisor_goes_on_as_if_nothing_had_happened(void **state)
{
	static const struct sup_event then[] = {
		{ .kind = SUP_TICK },
		{ .kind = SUP_READY, .slot = 0 },
		{ .kind = SUP_RELOAD,
		    .generation = 2,
		    .conf = { .want = 2, .boot_timeout = 9, .grace = 9 } },
		{ .kind = SUP_EXITED, .slot = 1 },
		{ .kind = SUP_PAUSE },
		{ .kind = SUP_DRAIN },
	};
	msec_t now = 50;

	(void)state;
	for (size_t n = 0; n <= sizeof then / sizeof then[0]; n++, now += 60) {
		struct sup *old = busy(), *new = hand_over(old);

		assert_int_equal(sup_count(new).want, 3);
		assert_int_equal(sup_count(new).ready, 2);
		for (size_t i = 0; i < n; i++)
			assert_true(
			    same_plan(sup_step(old, &then[i], now + 60 * i),
				sup_step(new, &then[i], now + 60 * i)));
		sup_free(&old);
		sup_free(&new);
	}
}

/* ---- the scoreboard ------------------------------------------------------ */

static void
a_file_of_another_size_is_no_scoreboard(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, sizeof(struct scoreboard) - 1), 0);
	assert_null(scoreboard_map(fd));
	assert_int_equal(errno, EPROTO);
	fd_close(&fd);
}

static void
no_worker_makes_a_scoreboard_longer_than_it_is(void **state)
{
	int fd;
	struct scoreboard *b = scoreboard_new(&fd);

	(void)state;
	assert_non_null(b);
	assert_int_equal(scoreboard_used(b), 0);
	SCORE_SET(b, n_used, 7);
	assert_int_equal(scoreboard_used(b), 7);
	SCORE_SET(b, n_used, UINT32_MAX);
	assert_int_equal(scoreboard_used(b), SCORE_SLOTS);
	scoreboard_free(&b);
	fd_close(&fd);
}

static void
a_scoreboard_is_mapped_by_its_descriptor(void **state)
{
	int fd;
	struct scoreboard *a = scoreboard_new(&fd), *b;

	(void)state;
	assert_non_null(a);
	b = scoreboard_map(fd);
	assert_non_null(b);
	SCORE_SET(&a->slot[3], connections, 17);
	assert_int_equal(SCORE_GET(&b->slot[3], connections), 17);
	scoreboard_free(&b);
	a->layout++;
	assert_null(scoreboard_map(fd));
	assert_int_equal(errno, EPROTO);
	scoreboard_free(&a);
	assert_int_equal(ftruncate(fd, 0), -1); /* nobody loses it under us */
	fd_close(&fd);
	assert_null(scoreboard_map(fd));
	assert_int_equal(errno, EBADF);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_saved_is_loaded),
		cmocka_unit_test(a_wrong_state_says_what_is_wrong),
		cmocka_unit_test(a_state_that_ends_early_anywhere_is_wrong),
		cmocka_unit_test(
		    a_supervisor_goes_on_as_if_nothing_had_happened),
		cmocka_unit_test(a_scoreboard_is_mapped_by_its_descriptor),
		cmocka_unit_test(a_file_of_another_size_is_no_scoreboard),
		cmocka_unit_test(
		    no_worker_makes_a_scoreboard_longer_than_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
