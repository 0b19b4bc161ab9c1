/* SPDX-License-Identifier: MIT */
/*
 * Refuses the n-th system call, or block of malloc's, of this process. The process must have a
 * single thread, and must be a child made for the purpose, because a seccomp filter cannot be
 * removed.
 */
#ifndef TESTS_FAULTS_REFUSE_H
#define TESTS_FAULTS_REFUSE_H

#include <stdbool.h>

#if defined(__x86_64__) || defined(__aarch64__)
#define REFUSE_IS_KNOWN 1

extern bool refuse_is_armed;
extern bool refuse_lets_go;        /* never refuse calls that give memory back to the kernel */
extern bool refuse_spares_malloc;  /* refuse system calls only */
extern unsigned refuse_nr_calls;   /* counts calls while armed; tests reset it */
extern unsigned refuse_which;      /* the number of the call to refuse, from 1; 0: none */
extern const char *refuse_refused; /* the name of the refused call; NULL: none yet */
extern long refuse_nr_blocks;      /* malloc's blocks in use; 0 if malloc is not replaced */

/* Installs the filter. Returns: true on success; false if this system allows no filter. */
bool refuse_begin(void);
#else
#define REFUSE_IS_KNOWN 0
#endif

#endif
