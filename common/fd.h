/* What we do with file descriptors besides reading and writing them. */
#ifndef COMMON_FD_H
#define COMMON_FD_H

/* Closes *fd unless it is negative and leaves -1; errno is preserved. */
void fd_close(int *fd);

/* -1 and errno, as fcntl. */
int fd_set_nonblocking(int fd);

/* Nobody can send descriptors to this unix socket any more, nor to what it
 * accepts of those who connect from now on; other sockets know none.  For whom
 * we do not trust: the descriptor may be a socket with SO_LINGER, and whoever
 * closes the last copy waits as long as its sender liked.  Before Linux 6.16 it
 * cannot be had. */
void fd_refuse_fds(int fd);

#endif
