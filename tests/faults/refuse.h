/* SPDX-License-Identifier: MIT */
/*
 * A kernel that refuses the nth call, and a malloc that does. One thread alone, in a process of its own: a
 * filter is never taken away.
 */
#ifndef TESTS_FAULTS_REFUSE_H
#define TESTS_FAULTS_REFUSE_H

#include <stdbool.h>

#if defined(__x86_64__) || defined(__aarch64__)
#define REFUSE_IS_KNOWN 1

extern bool refuse_is_armed;
extern bool refuse_lets_go;        /* whether what gives memory back to the kernel is never refused */
extern bool refuse_spares_malloc;  /* whether system calls alone are refused */
extern unsigned refuse_nr_calls;   /* while armed */
extern unsigned refuse_which;      /* the one to refuse, from 1; 0: none */
extern const char *refuse_refused; /* what it was; NULL: none yet */
extern long refuse_nr_blocks;      /* of malloc's, in use; 0 where that cannot be known */

/* Returns: whether this process is watched from now on. */
bool refuse_begin(void);
#else
#define REFUSE_IS_KNOWN 0
#endif

#endif
