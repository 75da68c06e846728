#include <string.h>
#include <sys/socket.h>

#include "common/heritage.h"
#include "common/log.h"
#include "common/scoreboard.h"
#include "conf/settings.h"
#include "worker/core.h"
#include "worker/net/peer.h"
#include "worker/net/per_ip.h"

#define COUNT_MASK ((UINT64_C(1) << SCORE_ADDRESS_COUNT) - 1)
#define N_SETS     (SCORE_ADDRESSES / SCORE_ADDRESS_WAYS)

/* ---- the table ----------------------------------------------------------- */

/* Of a bijection: other addresses have other keys. */
static uint64_t
mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* Whoever has IPv6 has a /64. */
uint64_t
per_ip_key(const struct peer *p, uint64_t secret)
{
	uint64_t address = 0;

	if (p->family == AF_INET6)
		memcpy(&address, &p->v6.sin6_addr, sizeof address);
	else
		address = p->v4.sin_addr.s_addr;
	return mix(mix(address ^ secret) + secret + p->family);
}

static uint64_t
entry(const struct score_addresses *a, size_t at)
{
	return atomic_load_explicit(&a->entry[at], memory_order_relaxed);
}

/* Where the key is counted, or else may be; SCORE_ADDRESSES: nowhere. */
static size_t
find(const struct score_addresses *a, uint64_t key)
{
	size_t set = key % N_SETS * SCORE_ADDRESS_WAYS, free = SCORE_ADDRESSES;

	for (size_t at = set; at < set + SCORE_ADDRESS_WAYS; at++) {
		uint64_t e = entry(a, at);

		if ((e & COUNT_MASK) == 0)
			free = at;
		else if (((e ^ key) & ~COUNT_MASK) == 0)
			return at;
	}
	return free;
}

unsigned
per_ip_count(const struct score_addresses *a, uint64_t key)
{
	size_t at = find(a, key);
	uint64_t e = at < SCORE_ADDRESSES ? entry(a, at) : 0;

	/* read again: it may have become another's */
	return ((e ^ key) & ~COUNT_MASK) == 0 ? (unsigned)(e & COUNT_MASK) : 0;
}

bool
per_ip_add(struct score_addresses *a, uint64_t key)
{
	size_t at = find(a, key);

	if (at == SCORE_ADDRESSES)
		return false;
	atomic_store_explicit(&a->entry[at],
	    (key & ~COUNT_MASK) | ((entry(a, at) & COUNT_MASK) + 1),
	    memory_order_relaxed);
	return true;
}

void
per_ip_remove(struct score_addresses *a, uint64_t key)
{
	size_t at = find(a, key);

	if (at < SCORE_ADDRESSES && (entry(a, at) & COUNT_MASK) > 0)
		atomic_store_explicit(&a->entry[at], entry(a, at) - 1,
		    memory_order_relaxed);
}

/* ---- in a worker --------------------------------------------------------- */

static struct score_addresses *
own(const struct worker *w)
{
	return &w->heritage->scoreboard->addresses[w->heritage->slot];
}

/* Of all workers. */
static unsigned
held(struct scoreboard *b, uint64_t key)
{
	uint32_t n = scoreboard_used(b);
	unsigned sum = 0;

	for (uint32_t i = 0; i < n; i++)
		if (SCORE_GET(&b->slot[i], counts_addresses) != 0 &&
		    SCORE_GET(&b->slot[i], state) != SCORE_EMPTY)
			sum += per_ip_count(&b->addresses[i], key);
	return sum;
}

enum per_ip
per_ip_take(struct worker *w, const struct peer *peer, bool trusted)
{
	struct scoreboard *b = w->heritage->scoreboard;
	unsigned limit = w->settings->max_connections_per_ip;
	uint64_t key;

	if (limit == 0 || trusted || peer->family == AF_UNIX)
		return PER_IP_FREE;
	key = per_ip_key(peer, b->secret);
	SCORE_SET(w->score, counts_addresses, 1);
	if (!per_ip_add(own(w), key))
		return PER_IP_FREE;
	/* of two workers that add at once, at least one sees both */
	atomic_thread_fence(memory_order_seq_cst);
	if (held(b, key) <= limit)
		return PER_IP_COUNTED;
	per_ip_remove(own(w), key);
	return PER_IP_FULL;
}

void
per_ip_give(struct worker *w, const struct peer *peer)
{
	per_ip_remove(own(w),
	    per_ip_key(peer, w->heritage->scoreboard->secret));
}

void
per_ip_refuse(struct worker *w, int fd, const struct peer *peer)
{
	static const char text[] =
	    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
	    "Content-Length: 24\r\nConnection: close\r\n\r\n"
	    "503 Service Unavailable\n";
	char addr[PEER_TEXT_MAX];
	unsigned others;

	/* what is not read would make the close a reset, ahead of the text */
	(void)recv(fd, NULL, INT32_MAX, MSG_TRUNC | MSG_DONTWAIT);
	(void)send(fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	SCORE_ADD(w->score, per_ip_refused, 1);
	if (!told_now(&w->per_ip_told, w->now_ns, &others))
		return;
	(void)peer_text(peer, addr);
	log_warnx("refused a connection of %s: max_connections_per_ip "
		  "(and %u others)",
	    addr, others);
}
