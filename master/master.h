/*
 * The master: owns the loop, the generations and the workers; feeds events to
 * the supervisor and carries its plans out.  One thread; never reads a byte
 * that a client sent; never waits for a worker.
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <stdbool.h>
#include <time.h>

#include <ev.h>

#include "conf/load.h"
#include "master/child.h"
#include "master/deployment.h"
#include "master/notify.h"
#include "master/oom.h"
#include "master/pidfile.h"
#include "master/priv.h"
#include "master/supervisor.h"
#include "master/upgrade.h"

struct control;
struct daemon;
struct scoreboard;
struct template;

enum reload_result { RELOAD_NONE, RELOAD_DONE, RELOAD_FAILED, RELOAD_GIVEN_UP };

/* How a reload ended. */
struct reload_report {
	enum reload_result result;
	unsigned generation; /* 0: it failed before it was given a number */
	time_t at;
	char reason[TROUBLE_MAX]; /* "": done */
};

struct master {
	struct ev_loop *loop;
	struct sup *sup;
	struct scoreboard *scoreboard;
	int scoreboard_fd;
	struct child **child;           /* by slot; NULL: no process */
	struct template *templates;     /* processes, dismissed ones too */
	struct deployment *deployments; /* newest first; at most two */
	unsigned serving;               /* generation; 0 before the first */
	unsigned last_generation;       /* number given out last */
	struct settings_source source;
	struct settings *first;  /* those of the start: what RESTART ones are */
	const char *source_name; /* for titles and log lines */
	struct priv priv;
	struct pidfile pidfile;
	struct notify notify;
	struct ev_timer tick;
	struct ev_timer watch; /* master/watch.c */
	struct oom oom;
	unsigned *unspawned; /* slots whose fork failed in this plan */
	size_t n_unspawned;
	struct upgrade upgrade;
	struct daemon *daemon;
	struct control *control; /* NULL: off */
	struct reload_report last_reload;
	bool settling; /* it serves; those before it may still accept */
	uint64_t started_ns;
	bool is_daemon, committed, over;
	bool log_is_startup; /* the error log is where errors of the start go */
	char trouble[TROUBLE_MAX]; /* the last worker that ended against our
				      will */
	int status;                /* what the program exits with */
};

/* Takes the settings over.  Returns the exit status of the program. */
int master_run(const struct settings_source *, struct settings *,
    const char *source_name, struct daemon *);

/* Is there as much memory as a master that takes over asks for, and some more?
 * Keeps it: the process is about to end.  -1 and errno. */
int master_rehearse(void);
/* The same for a program that follows another in this process and goes on with
 * the state in state_fd. */
int master_take_over(const struct settings_source *, const char *source_name,
    int state_fd);
/* Fills m, which is new, with that state.  There is no way back: the state was
 * tested. */
void master_adopt(struct master *, int state_fd);

/* What happened; and what follows from it is done. */
void master_feed(struct master *, const struct sup_event *);
/* A worker's process is gone; status as of waitpid(). */
void master_child_exited(struct master *, struct child *, int status);
/* Starts a reload: its generation, on trial or already over; 0: it failed, and
 * last_reload says why. */
unsigned master_reload(struct master *);
/* The new generation serves: the reload has ended when no worker of another one
 * accepts connections.  Is it so? */
void master_reload_settle(struct master *);
/* A reload has ended; its generation is 0 if it had none yet. */
void master_reload_over(struct master *, unsigned generation,
    enum reload_result, const char *reason);

/* NULL when that generation is gone. */
struct deployment *master_deployment(const struct master *,
    unsigned generation);

/* In a child: closes what only the master may hold. */
void master_shed(struct master *, const struct deployment *keep);

#endif
