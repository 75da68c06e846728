/* Values that are lists: members, with commas and blanks between them. */
#ifndef CONF_LIST_H
#define CONF_LIST_H

#include <stddef.h>

/*
 * Hands each member, n bytes without the blanks around it, to add() until that
 * says why not.  NULL, or why not, which names the member when it is not the
 * only one: "at MEMBER: WHY".  The text lasts until the next call; one thread.
 */
const char *list_parse(const char *text,
    const char *(*add)(void *arg, const char *member, size_t n), void *arg);

#endif
