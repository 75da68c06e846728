/* Invariants, checked in production too: a bug ends the process loudly. */
#ifndef COMMON_ASSERT_H
#define COMMON_ASSERT_H

/* Writes the place and the condition to the error log, then aborts. */
_Noreturn void pf_assert_failed(const char *cond, const char *file, int line);

#define pf_assert(cond)                                                        \
	(__builtin_expect(!!(cond), 1) ?                                       \
		(void)0 :                                                      \
		pf_assert_failed(#cond, __FILE__, __LINE__))

#endif
