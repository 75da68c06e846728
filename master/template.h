/*
 * Templates as the master sees them: with server.preload, a generation has a
 * process that loads its applications once and makes its workers.  Made when
 * the first worker is wanted, and made anew when it died and one is wanted
 * again.  What the supervisor asked for waits here until the process is known;
 * it need not know that there is a template.
 */
#ifndef MASTER_TEMPLATE_H
#define MASTER_TEMPLATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <ev.h>

#include "common/channel.h"
#include "master/supervisor.h"

struct deployment;
struct master;
struct sup_action;

struct template
{
	struct template *next;
	struct master *master;
	unsigned generation;
	pid_t pid;
	int channel_fd; /* -1: it closed its end, or was dismissed */
	struct ev_child exit;
	struct ev_io io;
	uint64_t since_ns;
	bool ready;     /* the applications are loaded */
	bool killed;    /* it was too slow */
	bool dismissed; /* nobody needs it any more */
	/* Slots that wait for a worker.  The first of them is being made when
	 * there is a channel for it. */
	unsigned n_waiting;
	unsigned waiting[SUP_SLOTS_MAX];
	int worker_fd; /* our end of that channel; -1 */
	bool unwanted; /* that worker is to go as soon as it is known */
	char reason[CHANNEL_TEXT_MAX]; /* why it cannot load, if it said so */
};

/* The worker will come, or SUP_EXITED or SUP_SPAWN_FAILED for its slot.  -1:
 * there is no process to be had. */
int template_spawn(struct master *, unsigned slot, struct deployment *);
/* The slot, which has no process yet, is to have none. */
void template_cancel(struct master *, const struct sup_action *);
/* Is a worker under way of which the master does not know the process? */
bool template_is_busy(const struct master *);

/* Ends that of this generation, or (0) of all. */
void template_dismiss(struct master *, unsigned generation);
/* The program ends: waits for their processes. */
void template_end_all(struct master *);
void template_reopen(struct master *, unsigned generation, const int *fds,
    size_t n_fds);
/* In a child: closes what only the master may hold. */
void template_shed(struct master *);

#endif
