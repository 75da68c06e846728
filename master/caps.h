/* Capabilities of this process, capabilities(7): what a master needs, and
 * none. */
#ifndef MASTER_CAPS_H
#define MASTER_CAPS_H

/* A master keeps what it needs to bind, to give files away, to make workers
 * and to end them.  0, or -1 and errno. */
int caps_keep_masters(void);
/* What no program that it starts may have either, for good. */
void caps_bound_masters(void);

/* Has none, and passes none on to programs.  0, or -1 and errno. */
int caps_clear(void);
/* No program that it starts may have any, as far as we may say so. */
void caps_bound_none(void);

#endif
