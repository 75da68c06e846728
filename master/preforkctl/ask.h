/* One question to a running server. */
#ifndef MASTER_PREFORKCTL_ASK_H
#define MASTER_PREFORKCTL_ASK_H

#include <stdbool.h>
#include <stdio.h>

enum ask_result { ASK_OK, ASK_NO_SERVER, ASK_FAILED };

/* Sends the line.  *answer, which the caller closes, then gives lines; one
 * that takes more than 10 s is an error to read, unless `patient`.  Otherwise
 * the reason is in err. */
enum ask_result ask_server(const char *path, const char *line, bool patient,
    FILE **answer, char *err, size_t err_bytes);

#endif
