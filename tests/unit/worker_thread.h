/*
 * A whole worker in a thread of the test, its clients, and handlers that do
 * what their path says (tests/modules/mod_hook.c):
 *
 *   /block   until the test posts handlers.go
 *   /spinN   compute N ms
 *   /work    compute, /wait: sleep; MEDIUM_NS
 *   /body    read the body to its end
 *   /lateN   compute N ms, then read the body
 *
 * and answer "ok".  /block and /body post handlers.entered first.  Tests run
 * between worker_thread_setup() and worker_thread_teardown(), each after
 * handlers_reset().
 */
#ifndef TESTS_UNIT_WORKER_THREAD_H
#define TESTS_UNIT_WORKER_THREAD_H

#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/heritage.h"
#include "common/scoreboard.h"
#include "conf/settings.h"

#define PATIENCE_S 60     /* until a test gives up; it never waits for it */
#define MEDIUM_NS  500000 /* slow for a handler that waits */

extern struct handlers {
	sem_t entered, go;
	atomic_long tid; /* of the last one */
	atomic_uint inside, most_inside;
	atomic_int body_result, body_bytes; /* of the last one */
} handlers;

/* For cmocka. */
int worker_thread_setup(void **state);
int worker_thread_teardown(void **state);
int handlers_reset(void **state);
#define HANDLERS_TEST(name) cmocka_unit_test_setup(name, handlers_reset)

void handlers_wait_entered(void); /* for one more */
/* How reading ended (PF_EOF, ...), and after how many bytes; in the last one.
 */
void handlers_assert_body(int result, int bytes);

struct server {
	struct settings settings;
	struct app_settings app;
	struct heritage heritage;
	struct heritage_listener listener;
	struct score_slot *score;
	int channel; /* the master's end */
	struct sockaddr_in address;
	pthread_t thread;
	pid_t tid;
	sem_t started;
	int status;
};

/* Patient, with room for anybody; to be changed before it starts. */
void server_settings(struct server *, unsigned min_threads, unsigned max);
/* Serves once it has said READY. */
void server_start(struct server *);
void server_open(struct server *, unsigned min_threads, unsigned max);
/* Retires; it has no connection left. */
void server_close(struct server *);

int client_connect(const struct server *);
void client_send(int fd, const char *text);
/* A request; the connection. */
int client_ask(const struct server *, const char *path);
/* To the end of the connection, which it closes; true: 200, "ok". */
bool client_answered(int fd);
bool client_get(const struct server *, const char *path);

#endif
