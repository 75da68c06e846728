/*
 * SIGUSR2: another program takes this process over, with its ID, sockets and
 * workers.  First the program tests itself, in a process of its own; whatever
 * goes wrong there changes nothing.
 */
#ifndef MASTER_UPGRADE_H
#define MASTER_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <ev.h>

struct master;

struct upgrade {
	char
	    *program; /* absolute; where we were started from.  NULL: unknown */
	pid_t pid;    /* of the test, leader of its group; 0: none runs */
	bool late;    /* it was killed for that */
	bool passed;  /* what stands at `program` may take over */
	int out_fd;   /* what the test says; -1: nothing any more */
	size_t n_said;
	char said[4096];
	char why[1280]; /* there is none, or it failed */
	char *from;     /* the version that we took over from, until our first
			   reload is over; then NULL */
	struct ev_child exit;
	struct ev_io out;
	struct ev_timer limit;
};

/* Looks up the file that we run, while relative names still lead there. */
void upgrade_init(struct upgrade *);
void upgrade_fini(struct upgrade *);

/* SIGUSR2.  false: upgrade.why. */
bool upgrade_begin(struct master *);
/* It has begun and we are still the old program. */
bool upgrade_is_under_way(const struct master *);
/* After each event: does it end, or is it time?  Then the loop is left. */
void upgrade_step(struct master *);
/* Outside of the loop.  Returns if it is not time after all, or if it failed.
 */
void upgrade_take_over(struct master *);

/* In the new program: a reload is over, or there is none to be made. */
void upgrade_reload_over(struct master *);

/* In a child. */
void upgrade_shed(struct upgrade *);

#endif
