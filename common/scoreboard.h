/*
 * The scoreboard: a shared mapping made before the fork, one slot per worker.
 * One writer per field and no lock to die holding: a worker's loop writes its
 * slot, the master and the siblings read it.
 */
#ifndef COMMON_SCOREBOARD_H
#define COMMON_SCOREBOARD_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

enum score_state { SCORE_EMPTY, SCORE_BOOTING, SCORE_READY, SCORE_RETIRING };

struct score_slot {
	alignas(64) _Atomic uint32_t state; /* enum score_state */
	_Atomic uint32_t generation;
	_Atomic uint32_t connections;      /* open now; siblings share by it */
	_Atomic uint32_t accepts;          /* 0: siblings do not wait for it */
	_Atomic uint32_t threads;          /* handler threads that exist */
	_Atomic uint32_t counts_addresses; /* score_addresses has some */
	_Atomic uint64_t heartbeat_ms; /* CLOCK_MONOTONIC: its loop turned */
#define COUNTER(name, help) _Atomic uint64_t name;
#include "common/counters.def"
#undef COUNTER
};

/*
 * Connections of a worker by the address of the client: sets of
 * SCORE_ADDRESS_WAYS entries; a hash in the upper bits, how many in the lower.
 * An entry is one word, so that readers see both or neither.
 */
#define SCORE_ADDRESSES     2048
#define SCORE_ADDRESS_WAYS  16
#define SCORE_ADDRESS_COUNT 20 /* bits */

struct score_addresses {
	alignas(64) _Atomic uint64_t entry[SCORE_ADDRESSES];
};

/* Of workers, however many a supervisor may want (SUP_SLOTS_MAX).  The number
 * is not in the memory itself: a worker that is no longer ours would tell the
 * master another one. */
#define SCORE_SLOTS 3088u

struct scoreboard {
	uint32_t layout;         /* SCORE_LAYOUT of the program that made it */
	_Atomic uint32_t n_used; /* see scoreboard_used() */
	uint64_t secret;         /* no client can choose where it is counted */
	struct score_slot slot[SCORE_SLOTS];
	struct score_addresses addresses[SCORE_SLOTS];
};

/* Differs between programs that cannot read each other's: the version in the
 * upper half goes up with a change of meaning, the size below by itself. */
#ifndef SCORE_VERSION
#define SCORE_VERSION 4u
#endif
#define SCORE_LAYOUT                                                           \
	((SCORE_VERSION << 16) | (uint32_t)sizeof(struct score_slot))

/* Zeroed and shared, in an unnamed file, which another program can map too.
 * Only what is touched takes memory.  NULL and errno.  The master unmaps it and
 * closes *fd. */
struct scoreboard *scoreboard_new(int *fd);
/* One that scoreboard_new() of this or another program made; NULL and errno,
 * which is EPROTO when we cannot read it. */
struct scoreboard *scoreboard_map(int fd);
void scoreboard_free(struct scoreboard **);

/* Slots from here on never had a worker.  Whatever workers write there, it is
 * SCORE_SLOTS at most. */
uint32_t scoreboard_used(const struct scoreboard *);
/* The worker that counted them is gone. */
void scoreboard_addresses_clear(struct scoreboard *, uint32_t slot);

/* Single writer, so no read-modify-write. */
#define SCORE_ADD(slot, field, n)                                              \
	atomic_store_explicit(&(slot)->field,                                  \
	    atomic_load_explicit(&(slot)->field, memory_order_relaxed) + (n),  \
	    memory_order_relaxed)
#define SCORE_SET(slot, field, v)                                              \
	atomic_store_explicit(&(slot)->field, (v), memory_order_relaxed)
#define SCORE_GET(slot, field)                                                 \
	atomic_load_explicit(&(slot)->field, memory_order_relaxed)

#endif
