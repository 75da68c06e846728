/*
 * All that a master hands over to the program that takes its place: text in a
 * sealed memfd.  The same functions write and read it, and a program asked
 * to test itself reads it all before anything is handed over.
 */
#ifndef MASTER_IMAGE_H
#define MASTER_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/control.h"
#include "master/listen.h"
#include "master/logs.h"
#include "master/pidfile.h"
#include "master/priv.h"

struct master;
struct settings;
struct sup;

/* Goes up when what is written changes; a program reads its own version only.
 */
#ifndef IMAGE_VERSION
#define IMAGE_VERSION 3u
#endif
/* Names the memfd in the environment of the program that is to read it. */
#define IMAGE_VARIABLE "PREFORK_STATE_FD"
/* What prefork -t says on standard output once it has read it. */
#define IMAGE_UNDERSTOOD "prefork: the state is understood\n"

struct image_child {
	unsigned slot, generation;
	uint64_t pid;
	int channel_fd;
	bool leaving, killed, ready;
	uint64_t stall_timeout_ms;
};

struct image {
	char *program; /* the version that wrote it */
	uint64_t pid;  /* whose state it is */
	unsigned serving, last_generation;
	bool is_daemon, log_is_startup;
	struct priv priv;
	struct pidfile pidfile;
	int scoreboard_fd;
	struct logs logs;
	struct control_image control;
	char *first, *settings; /* as settings_print_options() has them */
	struct listener_image *listener;
	unsigned n_listeners;
	struct image_child *child;
	unsigned n_children;
	struct sup *sup;
};

/* The memfd, close-on-exec; -1 with the reason. */
int image_save(const struct master *, char *err, size_t err_bytes);
/* 0, or -1 with the reason.  image_fini() either way.  No descriptor but fd is
 * looked at. */
int image_load(struct image *, int fd, char *err, size_t err_bytes);
/* What is still in it; closes nothing. */
void image_fini(struct image *);

/* NULL, with the reason. */
struct settings *image_settings(const char *text, char *err, size_t err_bytes);

/* The descriptor that the environment names; -1: none.  Removes the variable.
 */
int image_take_fd(void);
/* 0 if the state in fd is one that this program could go on with; -1 with the
 * reason. */
int image_check(int fd, char *err, size_t err_bytes);

/* Calls fn with each descriptor that the successor needs. */
void image_each_fd(const struct master *, void (*fn)(int fd));

#endif
