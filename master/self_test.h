/* The command lines and the environment of a program that is to follow us. */
#ifndef MASTER_SELF_TEST_H
#define MASTER_SELF_TEST_H

#include <stdbool.h>
#include <sys/types.h>

struct master;

/* Becomes the program, which finds the state in state_fd and the sockets that
 * were passed to us.  test: it tests itself and ends.  Returns when that is
 * not possible; errno says why. */
void self_exec(const struct master *, int state_fd, bool test);

/* The process that tests the program and writes to *out_fd what it finds; -1
 * and errno. */
pid_t self_test_start(struct master *, int state_fd, int *out_fd);

#endif
