/*
 * Timeouts by the thousand: one list per kind of timeout.  All entries of a
 * list wait equally long, so the oldest is always first: setting, moving and
 * clearing one is a few pointers, no heap and no system call.  A single timer
 * serves all lists.  Belongs to whoever holds the baton.
 */
#ifndef WORKER_NET_DEADLINE_H
#define WORKER_NET_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

/* Embedded in what waits.  Zeroed: not in a list. */
struct deadline {
	struct deadline *prev, *next;
	struct deadline_list *list;
	uint64_t since_ns;
};

/* The entry has been taken off its list. */
typedef void deadline_fn(struct deadline *, void *arg);

struct deadline_list {
	struct deadline *first, *last;
	uint64_t after_ns; /* 0: entries wait for ever */
	deadline_fn *expired;
	void *arg;
	struct deadline_list *next_list;
	struct deadlines *all;
};

struct deadlines {
	struct ev_loop *loop;
	ev_timer timer;
	uint64_t armed_for_ns; /* 0: the timer is off */
	bool is_due;           /* it has fired; the next turn judges */
	struct deadline_list *lists;
};

void deadlines_init(struct deadlines *, struct ev_loop *);
void deadlines_stop(struct deadlines *);
void deadline_list_init(struct deadlines *, struct deadline_list *,
    uint64_t after_ns, deadline_fn *expired, void *arg);

/* Counts from since_ns, which is not before that of any entry by more than a
 * loop turn; leaves the list it was in. */
void deadline_set(struct deadline *, struct deadline_list *, uint64_t since_ns);
void deadline_clear(struct deadline *);

/* A list's patience changes for all its entries. */
void deadline_list_set_after(struct deadline_list *, uint64_t after_ns);

#endif
