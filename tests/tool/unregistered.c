/* SPDX-License-Identifier: MIT */
/*
 * Preloaded, this makes a program see a kernel that aborts no critical sections: where it looks for the areas that libc
 * registered, it finds others, of which no kernel was told. They always say CPU 0.
 */
#include <linux/rseq.h>
#include <stddef.h>

static __thread struct rseq area __attribute__((tls_model("initial-exec")));

extern ptrdiff_t __rseq_offset; /* constant, to those who read it */
extern unsigned int __rseq_size, __rseq_flags;
ptrdiff_t __rseq_offset;
unsigned int __rseq_size = sizeof(area), __rseq_flags;

static char *thread_pointer(void)
{
#ifdef __x86_64__ /* where clang has no builtin */
	char *pointer;

	__asm__("movq	%%fs:0, %0" : "=r"(pointer));
	return pointer;
#else
	return __builtin_thread_pointer();
#endif
}

/* Linked with -z initfirst: before the library may look. */
__attribute__((constructor)) static void find_area(void)
{
	__rseq_offset = (char *)&area - thread_pointer();
}
