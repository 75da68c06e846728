#include "tests/unit/scenario.h"

#include <stdio.h>
#include <string.h>

static char
why_letter(enum sup_why why)
{
	switch (why) {
	case WHY_NOTHING: break;
	case WHY_EXITED: return 'x';
	case WHY_BOOT_TIMEOUT: return 'b';
	case WHY_GRACE_OVER: return 'g';
	case WHY_NO_PROCESS: return 'f';
	case WHY_STALLED: return 'h';
	case WHY_UNWANTED: return 'u';
	case WHY_SUPERSEDED: return 'n';
	case WHY_STOPPING: return 's';
	}
	return '?';
}

static int
show_action(const struct sup_action *a, char *buf, size_t n)
{
	switch (a->kind) {
	case ACT_SPAWN:
		return snprintf(buf, n, "S%ug%u", a->slot, a->generation);
	case ACT_RETIRE: return snprintf(buf, n, "R%u", a->slot);
	case ACT_QUIT: return snprintf(buf, n, "Q%u", a->slot);
	case ACT_KILL:
		return snprintf(buf, n, "K%u%c", a->slot, why_letter(a->why));
	case ACT_COMMIT: return snprintf(buf, n, "C%u", a->generation);
	case ACT_ROLLBACK:
		return snprintf(buf, n, "B%u%c", a->generation,
		    why_letter(a->why));
	case ACT_REOPEN: return snprintf(buf, n, "L");
	case ACT_EXIT: return snprintf(buf, n, "X%d", a->status);
	}
	return -1;
}

static void
show(struct sup_plan p, char *buf, size_t n)
{
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < p.n; i++) {
		if (i > 0)
			buf[at++] = ' ';
		at += (size_t)show_action(&p.act[i], buf + at, n - at);
	}
}

void
scenario_run(unsigned slots, const struct step *t, size_t n)
{
	struct sup *s = sup_new(slots);
	struct sup_plan plan;
	char buf[512];

	assert_non_null(s);
	for (size_t i = 0; i < n; i++) {
		plan = sup_step(s, &t[i].ev, t[i].now);
		show(plan, buf, sizeof buf);
		if (strcmp(buf, t[i].plan) != 0)
			fail_msg("step %zu: planned \"%s\", want \"%s\"", i,
			    buf, t[i].plan);
		for (size_t j = 0; j < plan.n; j++)
			assert_true(plan.act[j].slot < slots);
	}
	sup_free(&s);
	assert_null(s);
	sup_free(&s); /* there is nothing left to free */
}
