/* SPDX-License-Identifier: MIT */
/*
 * The version of these headers, at compile time, and of the library, at run time. configure.ac has
 * the same numbers.
 */
#ifndef PERCPU_VERSION_H
#define PERCPU_VERSION_H

#include <percpu/compiler.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PERCPU_VERSION_MAJOR 0
#define PERCPU_VERSION_MINOR 1
#define PERCPU_VERSION_PATCH 0

/* One number for #if: 10203 for 1.2.3. */
#define PERCPU_VERSION                                                                             \
	(PERCPU_VERSION_MAJOR * 10000 + PERCPU_VERSION_MINOR * 100 + PERCPU_VERSION_PATCH)

/*
 * percpu_version - the version of the library that the process uses, which may be newer than these
 * headers.
 * Context: MT-safe, async-signal-safe.
 * Returns: a constant string, "0.1.0".
 */
PERCPU_API const char *percpu_version(void);

#ifdef __cplusplus
}
#endif
#endif
