/* The supervisor's state, shared by the files that make it up. */
#ifndef MASTER_SUPERVISOR_STATE_H
#define MASTER_SUPERVISOR_STATE_H

#include <stdbool.h>

#include "master/supervisor.h"

/*
 *             process  counts as    leaves by
 *   EMPTY     no       -            spawn
 *   WAITING   no       a worker     backoff over (spawn), surplus
 *   BOOTING   yes      a worker     ready, exit, boot_timeout, surplus
 *   FAILING   yes      a worker     exit: killed while booting, then WAITING
 *   READY     yes      a worker     exit, retire, kill if stalled
 *   RETIRING  yes      -            exit, grace over
 *   DYING     yes      -            exit: killed, and not replaced
 */
enum slot_state {
	SLOT_EMPTY,
	SLOT_WAITING,
	SLOT_BOOTING,
	SLOT_FAILING,
	SLOT_READY,
	SLOT_RETIRING,
	SLOT_DYING,
};

struct slot {
	enum slot_state state;
	unsigned generation;
	unsigned crashes; /* not yet forgiven */
	bool recycle;     /* asked to be replaced */
	bool stalled;     /* does not move: it would not hear of retiring */
	bool too_large;   /* its successor is to wait as if it had crashed */
	msec_t grace;     /* of its generation, which may be gone by then */
	msec_t since;     /* READY */
	msec_t until; /* WAITING: spawn then; BOOTING, RETIRING: kill then */
};

struct generation {
	unsigned number; /* 0: there is none */
	struct sup_conf conf;
	unsigned want; /* conf.want as adjusted by SUP_MORE and its like */
};

struct sup {
	unsigned n_slots, n_used; /* slots beyond n_used are EMPTY */
	struct slot *slot;
	struct generation serving, trial;
	bool proven;     /* a worker of the trial was ready */
	bool started;    /* the first generation has been committed */
	bool ever_ready; /* from here on no failure ends the program */
	bool paused, stopping, aborting;
	msec_t stop_at; /* the delay of a drain ends; 0: none */
	int status;
	struct sup_action *act;
	size_t n_act, max_act;
};

struct sup_action *sup_plan_add(struct sup *, enum sup_action_kind,
    unsigned slot);
void sup_plan_kill(struct sup *, unsigned slot, enum sup_why);

/* The process goes, and nothing takes its place. */
void sup_slot_dismiss(struct sup *, unsigned slot, msec_t now, enum sup_why);
/* The slot is to be filled again, later with each crash. */
void sup_slot_back_off(struct slot *, msec_t now);

/* Ends the trial, if there is one. */
void sup_roll_back(struct sup *, enum sup_why, unsigned slot, msec_t now);
/* A first start failed: everything goes, the program ends with status. */
void sup_give_up(struct sup *, int status, msec_t now);

/* The rules, in this order after each event. */
void sup_end_delay(struct sup *, msec_t now);
void sup_end_overdue(struct sup *, msec_t now);
void sup_drop_surplus(struct sup *, msec_t now);
void sup_spawn_missing(struct sup *, msec_t now);
void sup_commit_trial(struct sup *);
void sup_retire_leftovers(struct sup *, msec_t now);
msec_t sup_wake_at(const struct sup *, msec_t now);

#endif
