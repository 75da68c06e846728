/*
 * How many connections a client has, whichever workers hold them: each worker
 * counts its own in the scoreboard, by address (IPv6: by /64), and adds up
 * those of all.  Never more than the limit; a dead worker's do not count.  With
 * more than some thousand addresses in one worker, those that find no place in
 * its table are not counted.
 */
#ifndef WORKER_NET_PER_IP_H
#define WORKER_NET_PER_IP_H

#include <stdbool.h>
#include <stdint.h>

struct peer;
struct score_addresses;
struct worker;

enum per_ip {
	PER_IP_FREE, /* not counted: no limit, a trusted proxy, a unix socket */
	PER_IP_COUNTED,
	PER_IP_FULL,
};

/* PER_IP_COUNTED: give it back when the connection ends. */
enum per_ip per_ip_take(struct worker *, const struct peer *, bool trusted);
void per_ip_give(struct worker *, const struct peer *);

/* It was PER_IP_FULL: says so to the client (503), the log and the counters.
 * The fd stays the caller's. */
void per_ip_refuse(struct worker *, int fd, const struct peer *);

/* ---- pure, for tests ------------------------------------------------------
 */

uint64_t per_ip_key(const struct peer *, uint64_t secret);
/* false: there is no place for it. */
bool per_ip_add(struct score_addresses *, uint64_t key);
void per_ip_remove(struct score_addresses *, uint64_t key);
unsigned per_ip_count(const struct score_addresses *, uint64_t key);

#endif
