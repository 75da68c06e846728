#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "common/assert.h"
#include "common/fd.h"
#include "worker/net/gate.h"

#define COPY_BYTES   4096     /* room a chunk of copied bytes has at least */
#define SENDFILE_MAX 0x200000 /* bytes a turn, so that nobody starves */
#define DEFER_MAX    8192 /* bytes whose copy costs less than waking twice */

/* Bytes that wait: copied behind the struct, referenced, or of a file. */
struct gate_chunk {
	struct gate_chunk *next;
	const char *p;
	size_t n;    /* still to send */
	size_t room; /* behind p + n, for more copied bytes */
	int fd;      /* a file, ours; or -1 */
	off_t offset;
	pf_release_fn *release;
	void *ud;
	char bytes[];
};

void
gate_init(struct gate *g)
{
	pthread_condattr_t attr;

	*g = (struct gate){ .fd = -1, .abandoned = true };
	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&g->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void
gate_fini(struct gate *g)
{
	pf_assert(g->first == NULL);
	pthread_cond_destroy(&g->changed);
	pthread_mutex_destroy(&g->lock);
}

void
gate_open(struct gate *g, int fd)
{
	g->fd = fd;
	g->abandoned = g->broken = g->committed = g->waited = false;
	g->may_defer = g->deferred = false;
	g->sent_bytes = 0;
}

static void
chunks_free(struct gate_chunk *c)
{
	struct gate_chunk *next;

	for (; c != NULL; c = next) {
		next = c->next;
		if (c->release != NULL)
			c->release(c->ud);
		fd_close(&c->fd);
		free(c);
	}
}

/* All of the queue, for chunks_free() without the lock. */
static struct gate_chunk *
queue_take(struct gate *g)
{
	struct gate_chunk *c = g->first;

	g->first = g->last = NULL;
	g->queued_bytes = 0;
	return c;
}

static struct gate_chunk *
queue_add(struct gate *g, size_t room)
{
	struct gate_chunk *c = malloc(sizeof *c + room);

	if (c == NULL)
		return NULL;
	*c = (struct gate_chunk){ .p = c->bytes, .room = room, .fd = -1 };
	*(g->last != NULL ? &g->last->next : &g->first) = c;
	g->last = c;
	return c;
}

/* The client is of no use any more; waiters learn it from abandoned. */
static int
gate_break(struct gate *g, int result)
{
	g->broken = g->abandoned = true;
	pthread_cond_broadcast(&g->changed);
	return result;
}

static bool
queue_copy(struct gate *g, const char *p, size_t n)
{
	struct gate_chunk *c = g->last;

	if (c == NULL || c->room < n) {
		c = queue_add(g, n > COPY_BYTES ? n : COPY_BYTES);
		if (c == NULL)
			return false;
	}
	memcpy(c->bytes + (c->p - c->bytes) + c->n, p, n);
	c->n += n;
	c->room -= n;
	g->queued_bytes += n;
	return true;
}

/* What of the part lies behind its first `sent` bytes. */
static bool
queue_part(struct gate *g, struct gate_part *part, size_t sent)
{
	const char *p = (const char *)part->p + sent;
	size_t n = part->n - sent;
	struct gate_chunk *c;

	if (part->release == NULL)
		return queue_copy(g, p, n);
	c = queue_add(g, 0);
	if (c == NULL)
		return false;
	c->p = p;
	c->n = n;
	c->release = part->release;
	c->ud = part->ud;
	part->release = NULL;
	g->queued_bytes += n;
	return true;
}

static ssize_t
send_many(int fd, const struct gate_part *parts, size_t n_parts, int flags)
{
	struct iovec iov[GATE_PARTS_MAX];
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n_parts };

	for (size_t i = 0; i < n_parts; i++)
		iov[i] = (struct iovec){
			.iov_base = (void *)(uintptr_t)parts[i].p,
			.iov_len = parts[i].n,
		};
	return sendmsg(fd, &msg, flags);
}

/* Bytes the kernel took, 0 if it is full, -1 if the client is gone. */
static ssize_t
send_now(struct gate *g, const struct gate_part *parts, size_t n_parts,
    bool more)
{
	int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0);
	ssize_t n = n_parts == 1 ? send(g->fd, parts->p, parts->n, flags) :
				   send_many(g->fd, parts, n_parts, flags);

	if (n >= 0) {
		g->sent_bytes += (uint64_t)n;
		return n;
	}
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -1;
}

static bool
is_small(const struct gate_part *parts, size_t n_parts)
{
	size_t n = 0;

	for (size_t i = 0; i < n_parts; i++)
		n += parts[i].n;
	return n <= DEFER_MAX;
}

int
gate_send(struct gate *g, struct gate_part *parts, size_t n_parts,
    enum gate_order order)
{
	size_t sent = 0;

	pf_assert(n_parts <= GATE_PARTS_MAX);
	if (g->abandoned)
		return PF_ECLOSED;
	if (g->first == NULL && n_parts > 0 && order == GATE_LAST)
		g->deferred = g->may_defer && is_small(parts, n_parts);
	if (g->first == NULL && n_parts > 0 && !g->deferred) {
		ssize_t n = send_now(g, parts, n_parts, order == GATE_MORE);

		if (n < 0)
			return gate_break(g, PF_ECLOSED);
		sent = (size_t)n;
	}
	for (size_t i = 0; i < n_parts; i++) {
		size_t skip = sent < parts[i].n ? sent : parts[i].n;

		sent -= skip;
		if (skip < parts[i].n && !queue_part(g, &parts[i], skip))
			return gate_break(g, PF_ENOMEM);
	}
	return g->queued_bytes > GATE_HIGH_BYTES ? PF_AGAIN : PF_OK;
}

/* At most SENDFILE_MAX bytes; moves *offset and *length on.  0: sent, or the
 * socket is full; -1: the client is gone, or the file is shorter than was
 * promised. */
static int
sendfile_now(struct gate *g, int fd, off_t *offset, size_t *length)
{
	size_t want = *length < SENDFILE_MAX ? *length : SENDFILE_MAX;
	ssize_t n;

	if (want == 0)
		return 0;
	do
		n = sendfile(g->fd, fd, offset, want);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	*length -= (size_t)n;
	g->sent_bytes += (uint64_t)n;
	return 0;
}

int
gate_sendfile(struct gate *g, int fd, int64_t offset, int64_t length)
{
	struct gate_chunk *c;
	size_t left = (size_t)length;

	if (g->abandoned)
		return PF_ECLOSED;
	if (g->first == NULL && sendfile_now(g, fd, &offset, &left) < 0)
		return gate_break(g, PF_ECLOSED);
	if (left == 0)
		return PF_OK;
	c = queue_add(g, 0);
	if (c == NULL)
		return gate_break(g, PF_ENOMEM);
	c->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (c->fd < 0)
		return gate_break(g, PF_ENOMEM);
	c->offset = offset;
	c->n = left;
	g->queued_bytes += left;
	return g->queued_bytes > GATE_HIGH_BYTES ? PF_AGAIN : PF_OK;
}

/* As send_now for the first chunk of the queue. */
static ssize_t
chunk_send(struct gate *g, struct gate_chunk *c)
{
	struct gate_part part = { .p = c->p, .n = c->n };
	size_t left = c->n;
	ssize_t n;

	if (c->fd >= 0) {
		if (sendfile_now(g, c->fd, &c->offset, &left) < 0)
			return -1;
		n = (ssize_t)(c->n - left);
	} else {
		n = send_now(g, &part, 1, c->next != NULL);
		if (n > 0)
			c->p += n;
	}
	if (n > 0)
		c->n -= (size_t)n;
	return n;
}

/* Sent chunks go to *spent. */
static int
queue_flush(struct gate *g, struct gate_chunk **spent)
{
	struct gate_chunk *c;

	while ((c = g->first) != NULL) {
		ssize_t n = chunk_send(g, c);

		if (n < 0)
			return gate_break(g, PF_ECLOSED);
		g->queued_bytes -= (size_t)n;
		if (c->n > 0)
			return PF_AGAIN;
		g->first = c->next;
		if (g->first == NULL)
			g->last = NULL;
		c->next = *spent;
		*spent = c;
	}
	return PF_OK;
}

bool
gate_defer_no_more(struct gate *g)
{
	bool deferred;

	pthread_mutex_lock(&g->lock);
	deferred = g->deferred;
	g->may_defer = g->deferred = false;
	pthread_mutex_unlock(&g->lock);
	return deferred;
}

int
gate_flush(struct gate *g)
{
	struct gate_chunk *spent = NULL;
	int result = PF_ECLOSED;

	pthread_mutex_lock(&g->lock);
	g->deferred = false;
	if (!g->abandoned)
		result = queue_flush(g, &spent);
	if (g->queued_bytes < GATE_LOW_BYTES)
		pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
	chunks_free(spent);
	return result;
}

uint64_t
gate_taken(struct gate *g)
{
	uint64_t taken;
	int unsent = 0;

	pthread_mutex_lock(&g->lock);
	if (g->fd >= 0)
		(void)ioctl(g->fd, SIOCOUTQ, &unsent);
	taken = g->sent_bytes - (uint64_t)unsent;
	pthread_mutex_unlock(&g->lock);
	return taken;
}

bool
gate_abandon(struct gate *g)
{
	struct gate_chunk *dropped;
	bool committed;

	pthread_mutex_lock(&g->lock);
	g->abandoned = true;
	g->fd = -1;
	committed = g->committed;
	if (g->first != NULL && g->sent_bytes > 0)
		g->broken = true; /* in the middle of an interim response */
	dropped = queue_take(g);
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
	chunks_free(dropped);
	return committed;
}

bool
gate_is_abandoned(struct gate *g)
{
	bool abandoned;

	pthread_mutex_lock(&g->lock);
	abandoned = g->abandoned;
	pthread_mutex_unlock(&g->lock);
	return abandoned;
}

void
gate_close(struct gate *g)
{
	g->abandoned = true;
	g->fd = -1;
	if (g->first != NULL)
		chunks_free(queue_take(g));
}
