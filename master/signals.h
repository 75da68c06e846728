/* Signals to the master become events of its loop. */
#ifndef MASTER_SIGNALS_H
#define MASTER_SIGNALS_H

#include <ev.h>

struct master;

/* SIGPIPE is ignored, the signals of signals.def reach the supervisor. */
void signals_start(struct master *, struct ev_loop *);
/* Back to the defaults, ignored ones too. */
void signals_stop(struct ev_loop *);

#endif
