/* Supervision as scenarios: at a time an event, and the plan it leads to. */
#ifndef TESTS_UNIT_SCENARIO_H
#define TESTS_UNIT_SCENARIO_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "master/supervisor.h"

#define GRACE 30000
#define BOOT  60000

/*
 * Plans: S0g1 spawn slot 0 for generation 1, R0 retire, Q0 quit, K0b kill slot
 * 0 because of its boot timeout (g grace over, h hangs, u unwanted, s
 * stopping), C2 commit generation 2, B2x roll back generation 2 because a
 * worker exited (b boot timeout, f no process, n newer reload, s stopping), L
 * reopen logs, X3 exit with status 3.
 */
struct step {
	msec_t now;
	struct sup_event ev;
	const char *plan;
};

/* Each step leads to its plan; n_slots is what there is room for. */
void scenario_run(unsigned n_slots, const struct step *, size_t n);

#define RUN_IN(slots, ...)                                                     \
	do {                                                                   \
		static const struct step t[] = { __VA_ARGS__ };                \
		scenario_run(slots, t, sizeof t / sizeof t[0]);                \
	} while (0)
#define RUN(...) RUN_IN(64, __VA_ARGS__)

#define CONF(n)                                                                \
	{                                                                      \
		.want = (n), .boot_timeout = BOOT, .grace = GRACE              \
	}
#define START(n)                                                               \
	{                                                                      \
		.kind = SUP_START, .generation = 1, .conf = CONF(n)            \
	}
#define RELOAD(g, n)                                                           \
	{                                                                      \
		.kind = SUP_RELOAD, .generation = (g), .conf = CONF(n)         \
	}
#define READY(i)                                                               \
	{                                                                      \
		.kind = SUP_READY, .slot = (i)                                 \
	}
#define EXITED(i, how)                                                         \
	{                                                                      \
		.kind = SUP_EXITED, .slot = (i), .fate = FATE_##how            \
	}
#define NOFORK(i)                                                              \
	{                                                                      \
		.kind = SUP_SPAWN_FAILED, .slot = (i)                          \
	}
#define RECYCLE(i)                                                             \
	{                                                                      \
		.kind = SUP_RECYCLE, .slot = (i)                               \
	}
#define SCALE(n)                                                               \
	{                                                                      \
		.kind = SUP_SCALE, .conf = CONF(n)                             \
	}
#define ASKS(i, e)                                                             \
	{                                                                      \
		.kind = SUP_##e, .slot = (i)                                   \
	}
#define EVENT(e)                                                               \
	{                                                                      \
		.kind = SUP_##e                                                \
	}

/* ---- how scenarios begin ----------------------------------------------- */

#define SERVING_2                                                              \
	{ 0, START(2), "S0g1 S1g1" }, { 1, READY(0), "" },                     \
	{                                                                      \
		1, READY(1), "C1"                                              \
	}

#endif
