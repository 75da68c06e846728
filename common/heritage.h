/* All that a worker inherits from the master, in one struct. */
#ifndef COMMON_HERITAGE_H
#define COMMON_HERITAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct settings;
struct scoreboard;

/* A socket the master bound; workers accept from their copy of the fd. */
struct heritage_listener {
	int fd;       /* non-blocking */
	bool listens; /* or: whoever is ready to accept makes it */
	const char
	    *spec;    /* canonical: 127.0.0.1:8000, [::1]:8000, unix:/path */
	bool proxied; /* a PROXY header begins each connection */
};

/* Everything here outlives the worker; it was made before the fork. */
struct heritage {
	const struct settings *settings; /* immutable */
	const struct heritage_listener *listeners;
	size_t n_listeners;
	struct scoreboard *scoreboard;
	uint32_t slot;       /* ours in the scoreboard */
	uint32_t generation; /* ours, for names and logs */
	int channel_fd;      /* our end; see common/channel.h */
	int access_log_fd;   /* -1: off */
};

#endif
