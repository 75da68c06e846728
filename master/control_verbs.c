#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "conf/types.h"
#include "master/control_verbs.h"
#include "master/json.h"
#include "master/listen.h"
#include "master/master.h"
#include "master/template.h"

/* The C types of the units, and how they are written. */
#define CTYPE_TEXT    const char *
#define CTYPE_COUNT   uint64_t
#define CTYPE_BYTES   uint64_t
#define CTYPE_SECONDS uint64_t
#define CTYPE_TIME    uint64_t
#define put_TEXT      json_text
#define put_COUNT     json_number
#define put_BYTES     json_number
#define put_SECONDS   json_number
#define put_TIME      json_number

#define MEMBER(name, label, unit, help) CTYPE_##unit name;
#define PUT(name, label, unit, help)    put_##unit(out, #name, r->name);
#define NO_MEMBER(name, label, unit, help)

#define LISTENER_FIELD NO_MEMBER
#define WORKER_FIELD   NO_MEMBER
#define STATUS_FIELD   MEMBER
struct status_record {
#include "common/control_fields.def"
};
#undef STATUS_FIELD
#define STATUS_FIELD PUT
static void
write_status(FILE *out, const struct status_record *r)
{
	json_begin(out, "status");
#include "common/control_fields.def"
	json_end(out);
}
#undef STATUS_FIELD
#undef WORKER_FIELD

#define STATUS_FIELD NO_MEMBER
#define WORKER_FIELD MEMBER
struct worker_record {
#include "common/control_fields.def"
};
#undef WORKER_FIELD
#define WORKER_FIELD PUT
static void
write_worker(FILE *out, const struct worker_record *r)
{
	json_begin(out, "worker");
#include "common/control_fields.def"
	json_end(out);
}
#undef WORKER_FIELD
#undef LISTENER_FIELD

#define WORKER_FIELD   NO_MEMBER
#define LISTENER_FIELD MEMBER
struct listener_record {
#include "common/control_fields.def"
};
#undef LISTENER_FIELD
#define LISTENER_FIELD PUT
static void
write_listener(FILE *out, const struct listener_record *r)
{
	json_begin(out, "listener");
#include "common/control_fields.def"
	json_end(out);
}

static void
write_note(FILE *out, const char *text)
{
	json_begin(out, "note");
	json_text(out, "text", text);
	json_end(out);
}

void
control_write_end(FILE *out, enum control_exit result, const char *reason)
{
	json_begin(out, "end");
	json_number(out, "exit", (uint64_t)result);
	json_text(out, "reason", reason[0] != '\0' ? reason : NULL);
	json_end(out);
}

static uint64_t
seconds_since(uint64_t ns)
{
	return (clock_now_ns() - ns) / NS_PER_S;
}

/* ---- status -------------------------------------------------------------- */

static const char *
state_text(const struct master *m, const struct sup_counts *n)
{
	if (n->stopping)
		return "stopping";
	if (n->leaving)
		return "leaving"; /* shutdown_delay: it still serves */
	if (n->paused)
		return "paused";
	return m->committed ? "serving" : "starting";
}

static const char *
result_text(enum reload_result result)
{
	switch (result) {
	case RELOAD_NONE: break;
	case RELOAD_DONE: return "done";
	case RELOAD_FAILED: return "failed";
	case RELOAD_GIVEN_UP: return "given up";
	}
	return NULL;
}

static void
count_slots(const struct scoreboard *b, struct status_record *r)
{
	uint32_t n = scoreboard_used(b);

	for (uint32_t i = 0; i < n; i++) {
		const struct score_slot *s = &b->slot[i];

		if (SCORE_GET(s, state) != SCORE_EMPTY)
			r->connections += SCORE_GET(s, connections);
		r->requests += SCORE_GET(s, requests);
		r->errors += SCORE_GET(s, errors_5xx);
		r->too_slow += SCORE_GET(s, too_slow);
		r->bodies_bad += SCORE_GET(s, bodies_bad);
		r->per_ip_refused += SCORE_GET(s, per_ip_refused);
		r->yielded += SCORE_GET(s, yielded);
		r->evicted += SCORE_GET(s, evicted);
		r->fields_dropped += SCORE_GET(s, fields_dropped);
		r->forwarding_dropped += SCORE_GET(s, forwarding_dropped);
		r->proxy_refused += SCORE_GET(s, proxy_refused);
	}
}

static enum control_exit
run_status(struct master *m, const char *argument, struct control_request *q)
{
	const struct deployment *d = master_deployment(m, m->serving);
	const struct reload_report *last = &m->last_reload;
	struct sup_counts n = sup_count(m->sup);
	struct status_record r = { .pid = (uint64_t)getpid(),
		.version = PREFORK_VERSION,
		.source = m->source_name,
		.uptime = seconds_since(m->started_ns),
		.state = state_text(m, &n),
		.generation = m->serving,
		.trial = n.on_trial ? m->last_generation : JSON_NONE,
		.wanted = n.want,
		.ready = n.ready,
		.alive = n.alive,
		.reload_at = last->result == RELOAD_NONE ? JSON_NONE :
							   (uint64_t)last->at,
		.reload = result_text(last->result),
		.reload_reason =
		    last->reason[0] != '\0' ? last->reason : NULL };

	(void)argument;
	count_slots(m->scoreboard, &r);
	write_status(q->out, &r);
	for (size_t i = 0; d != NULL && i < d->n_listeners; i++)
		write_listener(q->out,
		    &(struct listener_record){
			.address = listener_spec(d->listeners[i]) });
	return CONTROL_DONE;
}

/* ---- workers ------------------------------------------------------------- */

/* Of the second number in statm (proc(5)), in pages. */
static uint64_t
resident_bytes(pid_t pid)
{
	char path[64], text[128];
	const char *p = text;
	uint64_t size, resident;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return JSON_NONE;
	n = read(fd, text, sizeof text - 1);
	fd_close(&fd);
	text[n > 0 ? n : 0] = '\0';
	if (number_parse(&p, &size) != NULL || *p++ != ' ' ||
	    number_parse(&p, &resident) != NULL)
		return JSON_NONE;
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static const char *
worker_state(const struct child *c, const struct score_slot *s)
{
	if (c->leaving)
		return "retiring";
	switch (SCORE_GET(s, state)) {
	case SCORE_READY: return "ready";
	case SCORE_RETIRING: return "retiring";
	default: return "booting";
	}
}

static void
describe_worker(FILE *out, const struct child *c, const struct score_slot *s)
{
	struct worker_record r = { .slot = c->slot,
		.pid = (uint64_t)c->pid,
		.generation = c->generation,
		.state = worker_state(c, s),
		.connections = SCORE_GET(s, connections),
		.threads = SCORE_GET(s, threads),
		.requests = SCORE_GET(s, requests) - c->requests_before,
		.errors = SCORE_GET(s, errors_5xx) - c->errors_before,
		.rss = resident_bytes(c->pid),
		.uptime = seconds_since(c->since_ns) };

	write_worker(out, &r);
}

static void
describe_template(FILE *out, const struct template *t)
{
	write_worker(out,
	    &(struct worker_record){ .slot = JSON_NONE,
		.pid = (uint64_t)t->pid,
		.generation = t->generation,
		.state = t->ready ? "template" : "loading",
		.connections = JSON_NONE,
		.threads = JSON_NONE,
		.requests = JSON_NONE,
		.errors = JSON_NONE,
		.rss = resident_bytes(t->pid),
		.uptime = seconds_since(t->since_ns) });
}

static enum control_exit
run_workers(struct master *m, const char *argument, struct control_request *q)
{
	(void)argument;
	for (const struct template *t = m->templates; t != NULL; t = t->next)
		describe_template(q->out, t);
	for (unsigned i = 0; i < SUP_SLOTS_MAX; i++)
		if (m->child[i] != NULL)
			describe_worker(q->out, m->child[i],
			    &m->scoreboard->slot[i]);
	return CONTROL_DONE;
}

/* ---- reload -------------------------------------------------------------- */

static enum control_exit
reload_result(const struct master *m, struct control_request *q)
{
	const struct reload_report *last = &m->last_reload;
	char text[64];

	if (last->result == RELOAD_DONE) {
		snprintf(text, sizeof text, "generation %u serves",
		    last->generation);
		write_note(q->out, text);
		return CONTROL_DONE;
	}
	snprintf(q->reason, sizeof q->reason, "reload %s: %s",
	    result_text(last->result), last->reason);
	return CONTROL_FAILED;
}

static enum control_exit
run_reload(struct master *m, const char *argument, struct control_request *q)
{
	bool wait = strcmp(argument, "--wait") == 0;
	unsigned generation;
	char text[64];

	if (!wait && argument[0] != '\0')
		return CONTROL_USAGE;
	generation = master_reload(m);
	if (generation == m->last_reload.generation &&
	    m->last_reload.result != RELOAD_NONE)
		return reload_result(m, q);
	if (wait) {
		q->wait = WAIT_RELOAD;
		q->generation = generation;
		return CONTROL_DONE;
	}
	snprintf(text, sizeof text, "generation %u is on trial", generation);
	write_note(q->out, text);
	return CONTROL_DONE;
}

/* ---- upgrade ------------------------------------------------------------- */

static enum control_exit
upgrade_failure(const struct master *m, struct control_request *q)
{
	snprintf(q->reason, sizeof q->reason, "%s", m->upgrade.why);
	return CONTROL_FAILED;
}

/* We are the new program. */
static enum control_exit
upgrade_result(const struct master *m, struct control_request *q)
{
	const struct reload_report *last = &m->last_reload;
	char text[128];

	if (last->result == RELOAD_FAILED || last->result == RELOAD_GIVEN_UP) {
		snprintf(q->reason, sizeof q->reason,
		    "prefork %s took over from %s, but its reload %s: %s; "
		    "generation %u goes on serving",
		    PREFORK_VERSION, m->upgrade.from,
		    last->result == RELOAD_FAILED ? "failed" : "was given up",
		    last->reason, m->serving);
		return CONTROL_FAILED;
	}
	if (last->result == RELOAD_NONE)
		snprintf(text, sizeof text,
		    "upgraded from %.32s to %s; paused: a reload brings the "
		    "workers back",
		    m->upgrade.from, PREFORK_VERSION);
	else
		snprintf(text, sizeof text,
		    "upgraded from %.32s to %s; generation %u serves",
		    m->upgrade.from, PREFORK_VERSION, m->serving);
	write_note(q->out, text);
	return CONTROL_DONE;
}

static enum control_exit
run_upgrade(struct master *m, const char *argument, struct control_request *q)
{
	bool wait = strcmp(argument, "--wait") == 0;
	char text[600];

	if (!wait && argument[0] != '\0')
		return CONTROL_USAGE;
	if (!(wait && upgrade_is_under_way(m)) && !upgrade_begin(m))
		return upgrade_failure(m, q);
	if (wait) {
		q->wait = WAIT_UPGRADE;
		return CONTROL_DONE;
	}
	snprintf(text, sizeof text, "%.512s tests itself, then takes over",
	    m->upgrade.program);
	write_note(q->out, text);
	return CONTROL_DONE;
}

enum control_exit
control_result(const struct master *m, enum control_wait what,
    struct control_request *q)
{
	switch (what) {
	case WAIT_NOT: break;
	case WAIT_RELOAD: return reload_result(m, q);
	case WAIT_UPGRADE: return upgrade_failure(m, q);
	case WAIT_UPGRADED: return upgrade_result(m, q);
	}
	return CONTROL_DONE;
}

/* ---- the others ---------------------------------------------------------- */

static enum control_exit
run_reopen(struct master *m, const char *argument, struct control_request *q)
{
	(void)argument;
	master_feed(m, &(struct sup_event){ .kind = SUP_REOPEN });
	write_note(q->out, "logs reopened");
	return CONTROL_DONE;
}

static enum control_exit
run_scale(struct master *m, const char *argument, struct control_request *q)
{
	unsigned was = sup_count(m->sup).want;
	uint64_t want;
	char text[64];

	if (number_parse(&argument, &want) != NULL || *argument != '\0')
		return CONTROL_USAGE;
	if (want < 1 || want > SUP_WORKERS_MAX) {
		snprintf(q->reason, sizeof q->reason,
		    "the number of workers must be from 1 to %u",
		    SUP_WORKERS_MAX);
		return CONTROL_USAGE;
	}
	if (sup_count(m->sup).stopping) {
		snprintf(q->reason, sizeof q->reason, "the server is stopping");
		return CONTROL_FAILED;
	}
	master_feed(m,
	    &(struct sup_event){ .kind = SUP_SCALE,
		.conf.want = (unsigned)want });
	snprintf(text, sizeof text, "workers: %u, from %u", (unsigned)want,
	    was);
	write_note(q->out, text);
	return CONTROL_DONE;
}

/* Asked twice, it does not become SUP_ABORT as the signal does. */
static enum control_exit
run_stop(struct master *m, const char *argument, struct control_request *q)
{
	bool now = strcmp(argument, "--now") == 0;

	if (!now && argument[0] != '\0')
		return CONTROL_USAGE;
	if (now)
		master_feed(m, &(struct sup_event){ .kind = SUP_ABORT });
	else if (!sup_count(m->sup).stopping)
		master_feed(m, &(struct sup_event){ .kind = SUP_DRAIN });
	write_note(q->out, "stopping");
	return CONTROL_DONE;
}

static const struct verb {
	const char *name, *argument;
	enum control_exit (*run)(struct master *, const char *argument,
	    struct control_request *);
} verbs[] = {
#define CONTROL_VERB(verb, arg, help)                                          \
	{ .name = #verb, .argument = (arg), .run = run_##verb },
#include "common/control_verbs.def"
#undef CONTROL_VERB
};

static const struct verb *
find_verb(const char *name)
{
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

enum control_exit
control_run(struct master *m, struct control_request *q)
{
	char *argument = q->line;
	const char *name = strsep(&argument, " ");
	const struct verb *v = find_verb(name);
	enum control_exit result = CONTROL_USAGE;

	if (v == NULL) {
		snprintf(q->reason, sizeof q->reason,
		    "this server knows no verb %.64s", name);
		return CONTROL_USAGE;
	}
	if (v->run != run_status && v->run != run_workers)
		log_info("preforkctl %s%s%s (uid %ld, PID %ld)", name,
		    argument != NULL ? " " : "",
		    argument != NULL ? argument : "", q->uid, q->pid);
	if (argument == NULL)
		argument = q->line + strlen(q->line);
	if (v->argument[0] != '\0' || argument[0] == '\0')
		result = v->run(m, argument, q);
	if (result == CONTROL_USAGE && q->reason[0] == '\0')
		snprintf(q->reason, sizeof q->reason, "usage: %s%s%s", v->name,
		    v->argument[0] != '\0' ? " " : "", v->argument);
	return result;
}
