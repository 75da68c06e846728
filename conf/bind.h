/* The addresses of `bind`: text to struct bind_list, canonical spelling. */
#ifndef CONF_BIND_H
#define CONF_BIND_H

#include <stdbool.h>

struct bind_list;

/* Fills an empty list; NULL, or why not, and the list is empty again. */
const char *bind_list_parse(struct bind_list *, const char *text);
void bind_list_fini(struct bind_list *);
/* In canonical spelling. */
bool bind_list_has(const struct bind_list *, const char *spec);

#endif
