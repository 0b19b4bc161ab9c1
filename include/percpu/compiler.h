/* SPDX-License-Identifier: MIT */
/*
 * What the headers need from the compiler: visibility, assertions, and the mark of per-CPU
 * pointers.
 */
#ifndef PERCPU_COMPILER_H
#define PERCPU_COMPILER_H

/*
 * Exported by the shared object only. In the archive the names are hidden: a static copy belongs to
 * the program or plugin that links it, so two copies in one process never mix.
 */
#if defined(PERCPU_BUILDING) && !defined(PERCPU_SHARED_OBJECT)
#define PERCPU_API __attribute__((visibility("hidden")))
#else
#define PERCPU_API __attribute__((visibility("default")))
#endif

/*
 * Defined in code that dlclose may unmap while the kernel still refers to its rseq critical
 * sections: code of shared objects, except libpercpu.so, which is linked with -z nodelete.
 */
#if defined(__PIC__) && !defined(__PIE__) &&                                                       \
	!(defined(PERCPU_BUILDING) && defined(PERCPU_SHARED_OBJECT))
#define PERCPU__CODE_MAY_GO 1
#endif

/*
 * The machines with critical sections inline. PERCPU_GENERIC, and compilers without the asm goto
 * that they need, choose atomic instructions out of line.
 */
#if !defined(PERCPU_GENERIC) && defined(__LP64__) && defined(__x86_64__) && \
	(defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define PERCPU__ARCH_X86_64 1
#elif !defined(PERCPU_GENERIC) && defined(__LP64__) && defined(__aarch64__)
#define PERCPU__ARCH_AARCH64 1
#endif

/*
 * A slow path is cold beside an inline fast path; where there is no fast path inline, it is the
 * only one.
 */
#if defined(PERCPU__ARCH_X86_64) || defined(PERCPU__ARCH_AARCH64)
#define PERCPU__OUTLINE __attribute__((__cold__))
#else
#define PERCPU__OUTLINE
#endif

#ifdef __cplusplus
#define PERCPU__STATIC_ASSERT static_assert
#else
#define PERCPU__STATIC_ASSERT _Static_assert
#endif

/*
 * A per-CPU pointer is not an ordinary pointer: do not dereference it or pass it where an ordinary
 * pointer is expected. __percpu marks it in such a way that macros can remove the mark:
 *
 *	clang, C++		noderef: the compiler rejects both; type traits remove it
 *	clang, C		noderef behind an address space: the compiler rejects both. The type
 *				of a value has no address space, and clang drops with it all
 *				attributes applied after it
 *	gcc 14, C, x86-64	a named address space: the compiler rejects the second;
 *				typeof_unqual removes it
 *	others			no mark
 *
 * An access that no compiler rejects faults in the guard unit at run time. Define PERCPU_UNMARKED
 * in code that keeps per-CPU pointers in ordinary pointers.
 */
#ifdef PERCPU_UNMARKED
#define __percpu
#elif defined(__clang__) && defined(__cplusplus)
#define __percpu __attribute__((__noderef__))
#elif defined(__clang__)
#define PERCPU__SPACE __attribute__((__address_space__(1)))
#define __percpu PERCPU__SPACE __attribute__((__noderef__))
#elif defined(__GNUC__) && __GNUC__ >= 14 && defined(__SEG_GS) && !defined(__cplusplus)
#define PERCPU__SPACE __seg_gs
#define __percpu PERCPU__SPACE
#else
#define __percpu
#endif

#endif
