/* SPDX-License-Identifier: MIT */
/* What programs that misuse the library share: they say on which pointer before they do it. */
#ifndef TESTS_MISUSE_H
#define TESTS_MISUSE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <percpu/percpu.h>

static inline void *shown(const void *p)
{
	const struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core);
	if (p)
		printf("%p\n", p);
	else
		puts("NULL");
	fflush(stdout);
	return (void *)(uintptr_t)p;
}

#endif
