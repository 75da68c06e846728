/*
 * The output gate: the one place where a handler and the loop meet.  A handler
 * in any thread writes straight to the socket while nothing is queued; what the
 * kernel does not take waits here, bounded by backpressure, for the loop.  Once
 * abandoned, the socket is no longer touched and every call says PF_ECLOSED.
 *
 * The lock also guards the streamed body of the request (net/body.h): one lock
 * per exchange.
 */
#ifndef WORKER_NET_GATE_H
#define WORKER_NET_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <prefork/module.h>

/* Above HIGH a writer is told to wait; below LOW it may go on. */
#define GATE_HIGH_BYTES 131072
#define GATE_LOW_BYTES  32768

struct gate_chunk;

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* room, body bytes, or abandoned */
	int fd;                 /* the connection's; borrowed */
	bool abandoned;
	bool broken;    /* a write failed, or a message is cut: no other can
			   follow it */
	bool committed; /* bytes of the final response were taken */
	bool waited;    /* a handler is in a wait_*: abandoning ends that */
	bool may_defer; /* the loop flushes soon: see GATE_LAST */
	bool deferred;  /* what is queued waits for that, not for room */
	size_t queued_bytes;
	struct gate_chunk *first, *last;
	uint64_t sent_bytes; /* all that the kernel took */
};

/* Once per block of memory. */
void gate_init(struct gate *);
void gate_fini(struct gate *);
/* Once per request, before and after any handler knows of it: no lock. */
void gate_open(struct gate *, int fd);
void gate_close(struct gate *);

/* Abandoned from now on, what is queued is dropped: if the client has a part of
 * it, the gate is broken.  Lock not held.  true: the response had begun. */
bool gate_abandon(struct gate *);

/* Lock not held.  Bytes that the client's end has taken, modulo 2^64: only the
 * difference of two says something. */
uint64_t gate_taken(struct gate *);

/* Lock not held.  true: nobody reads the response any more. */
bool gate_is_abandoned(struct gate *);

/* One piece of what gate_send() is given. */
struct gate_part {
	const void *p;
	size_t n;
	pf_release_fn *release; /* NULL: copied if it must be queued */
	void *ud;
};

#define GATE_PARTS_MAX 64

/* What follows the bytes: anything, more of them at once (MSG_MORE), or
 * nothing.  Small ones that are the last may wait for the loop, which sends the
 * answers of several handlers together: whoever reads them is woken once. */
enum gate_order { GATE_NEXT, GATE_MORE, GATE_LAST };

/*
 * The bytes of all parts, in order; the lock is held.  PF_OK; PF_AGAIN: taken,
 * but above HIGH; PF_ECLOSED; PF_ENOMEM: the connection is of no use any more.
 * A part whose release is still set afterwards is the caller's to release,
 * without the lock: release functions may take locks of their own (Python's
 * GIL).
 */
int gate_send(struct gate *, struct gate_part *, size_t n_parts,
    enum gate_order);

/* length bytes of fd from offset; the lock is held.  The fd stays the
 * caller's: what must be queued uses a duplicate.  Results as gate_send. */
int gate_sendfile(struct gate *, int fd, int64_t offset, int64_t length);

/* The loop, no longer about to flush: nothing is deferred from now on.  Lock
 * not held.  true: something was, for gate_flush(). */
bool gate_defer_no_more(struct gate *);

/* The loop: send what is queued.  Lock not held.  PF_OK: all gone; PF_AGAIN:
 * the socket is full; PF_ECLOSED. */
int gate_flush(struct gate *);

#endif
