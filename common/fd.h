/* What we do with file descriptors besides reading and writing them. */
#ifndef COMMON_FD_H
#define COMMON_FD_H

/* Closes *fd unless it is negative and leaves -1; errno is preserved. */
void fd_close(int *fd);

/* -1 and errno, as fcntl. */
int fd_set_nonblocking(int fd);

#endif
