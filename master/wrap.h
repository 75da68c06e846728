/* PURE: help texts in lines of a terminal's width. */
#ifndef MASTER_WRAP_H
#define MASTER_WRAP_H

#include <stdio.h>

/* Indented, as the help of both programs is. */
void wrap_print(const char *text, FILE *);

#endif
