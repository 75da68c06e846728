#include <signal.h>
#include <stddef.h>

#include "common/log.h"
#include "master/master.h"
#include "master/signals.h"

static const struct signal_row {
	const char *name;
	int signo;
	enum sup_event_kind event;
} rows[] = {
#define SIGNAL(no, label, ev, help)                                            \
	{ .signo = (no), .name = (label), .event = (ev) },
#include "master/signals.def"
#undef SIGNAL
};
#define N_ROWS (sizeof rows / sizeof rows[0])

static ev_signal watcher[N_ROWS];

/* Runs in the loop, not in signal context: libev deferred it. */
static void
on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
	struct master *m = ev_userdata(loop);
	const struct signal_row *row = &rows[w - watcher];

	(void)revents;
	log_info("received SIG%s", row->name);
	if (row->event == SUP_UPGRADE)
		upgrade_begin(m);
	else if (row->event == SUP_RELOAD)
		master_reload(m);
	else
		master_feed(m, &(struct sup_event){ .kind = row->event });
}

void
signals_start(struct master *m, struct ev_loop *loop)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a log that may not grow is an error */
	ev_set_userdata(loop, m);
	for (size_t i = 0; i < N_ROWS; i++) {
		ev_signal_init(&watcher[i], on_signal, rows[i].signo);
		ev_signal_start(loop, &watcher[i]);
		ev_unref(loop); /* they alone do not keep the loop alive */
	}
}

void
signals_stop(struct ev_loop *loop)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		if (!ev_is_active(&watcher[i]))
			continue;
		ev_ref(loop);
		ev_signal_stop(loop, &watcher[i]);
	}
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
}
