/*
 * no_memory: no module, but for LD_PRELOAD: there is never memory for 31337
 * bytes, which nobody asks for but a test that sends so many.
 */
#include <errno.h>
#include <stddef.h>

#define NEVER 31337

void *__libc_malloc(size_t); /* NOLINT: glibc's name */
__attribute__((visibility("default"))) void *malloc(size_t);

void *
malloc(size_t n)
{
	if (n != NEVER)
		return __libc_malloc(n);
	errno = ENOMEM;
	return NULL;
}
