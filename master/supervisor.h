/*
 * What to do about workers, decided without doing it: no fork, no clock, no
 * socket.  The master feeds events in and carries plans out.
 *
 * A generation is a set of settings that workers serve with.  One serves; a
 * reload opens a second one on trial.  The trial spawns one worker, then the
 * rest; when all are ready it is committed and the others retire.  If one of
 * them fails before that, the trial is rolled back and nothing has changed.
 */
#ifndef MASTER_SUPERVISOR_H
#define MASTER_SUPERVISOR_H

#include <stddef.h>
#include <stdint.h>

#define SUP_WORKERS_MAX 1024u
/* Old, new and retiring workers of the largest generation, and some more. */
#define SUP_SLOTS_MAX (3u * SUP_WORKERS_MAX + 16u)

typedef uint64_t msec_t;

struct sup;

enum sup_event_kind {
	SUP_START,        /* generation, conf: the first one */
	SUP_TICK,         /* wake_at has come */
	SUP_READY,        /* slot: its worker serves */
	SUP_EXITED,       /* slot, fate: its process is gone */
	SUP_SPAWN_FAILED, /* slot: there was no process to be had */
	SUP_RECYCLE,      /* slot: replace its worker, then retire it */
	SUP_TOO_LARGE,    /* slot: the same; such successors come ever later */
	SUP_RECYCLE_NOW,  /* slot: the same, but retire its worker before,
			     unless it serves alone */
	SUP_STALLED,      /* slot: replace its worker, then kill it */
	SUP_REVIVED,      /* slot: it moves again; retire it after all */
	SUP_RELOAD,       /* generation, conf: put these settings on trial */
	SUP_MORE,         /* one worker more */
	SUP_FEWER,        /* one worker fewer, but one stays */
	SUP_SCALE,        /* conf.want: so many workers, as by MORE and FEWER */
	SUP_PAUSE,        /* retire all; a reload brings them back */
	SUP_UPGRADE,      /* the master's alone: means nothing here */
	SUP_REOPEN,       /* open the logs again */
	SUP_DRAIN,        /* after conf.delay retire all, then exit; if
			     repeated, as SUP_ABORT */
	SUP_ABORT,        /* exit within two seconds; if repeated, at once */
};

/* How a worker ended, as worker_main() promised to tell. */
enum sup_fate { FATE_CLEAN, FATE_CRASHED, FATE_CANNOT_BOOT, FATE_CANNOT_LOAD };

struct sup_conf {
	unsigned want; /* workers as configured, 1..SUP_WORKERS_MAX */
	msec_t boot_timeout, grace;
	msec_t delay; /* of a drain: all is served as before */
};

struct sup_event {
	enum sup_event_kind kind;
	unsigned slot;
	enum sup_fate fate;
	unsigned generation; /* the caller's number, never used before */
	struct sup_conf conf;
};

enum sup_action_kind {
	ACT_SPAWN,    /* slot, generation */
	ACT_RETIRE,   /* slot */
	ACT_QUIT,     /* slot */
	ACT_KILL,     /* slot, why */
	ACT_COMMIT,   /* generation serves; no other will be spawned again */
	ACT_ROLLBACK, /* generation, why, slot: it will not be spawned again */
	ACT_REOPEN,
	ACT_EXIT, /* status: no process is left */
};

enum sup_why {
	WHY_NOTHING,
	WHY_EXITED,       /* the worker in slot ended */
	WHY_BOOT_TIMEOUT, /* the worker in slot was not ready in time */
	WHY_GRACE_OVER,   /* the worker in slot took too long to retire */
	WHY_NO_PROCESS,   /* no process to be had for slot */
	WHY_STALLED,      /* the worker in slot stands still */
	WHY_UNWANTED,     /* it is no longer needed and serves nobody */
	WHY_SUPERSEDED,   /* a newer reload came */
	WHY_STOPPING,     /* all workers are to go */
};

struct sup_action {
	enum sup_action_kind kind;
	enum sup_why why;
	unsigned slot;
	unsigned generation;
	int status;
};

struct sup_plan {
	const struct sup_action *act;
	size_t n;
	msec_t wake_at; /* 0: nothing to wait for */
};

/* NULL when memory is short.  No plan will name a slot beyond n_slots. */
struct sup *sup_new(unsigned n_slots);
void sup_free(struct sup **);

/* The plan is valid until the next call.  now never goes backwards. */
struct sup_plan sup_step(struct sup *, const struct sup_event *, msec_t now);

struct sup_counts {
	unsigned want;       /* of the generation that serves */
	unsigned generation; /* that serves; 0 before the first */
	unsigned ready;      /* workers that serve, of any generation */
	unsigned alive;      /* processes */
	int on_trial;        /* a reload is under way */
	int paused;          /* none, until a reload */
	int leaving;         /* the delay of a drain runs */
	int stopping;        /* it will end in ACT_EXIT */
};

struct sup_counts sup_count(const struct sup *);
/* Saves it, or loads it into a new one.  What is on trial is left out. */
struct state;
void sup_image(struct sup *, struct state *);
/* How long the slot still waits for a new worker; 0: it does not wait. */
msec_t sup_wait(const struct sup *, unsigned slot, msec_t now);

#endif
