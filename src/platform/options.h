/* SPDX-License-Identifier: MIT */
/* PERCPU_OPTIONS of the environment: options.c. */
#ifndef PERCPU_PLATFORM_OPTIONS_H
#define PERCPU_PLATFORM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct percpu__options {
	bool atomic;     /* mode:atomic */
	bool rseq;       /* mode:rseq */
	bool huge;       /* huge */
	bool check;      /* check */
	bool leaks;      /* leaks */
	unsigned cpus;   /* cpus:N; 0: as the machine has */
	size_t keep_bytes; /* keep:BYTES */
	uint64_t decay_ms; /* decay:MS; UINT64_MAX: never */
};
#define PERCPU__DECAY_MS_DEFAULT 3000u

/*
 * percpu__options - reads PERCPU_OPTIONS, at every call. report: prints one line about each unknown
 * key or value.
 * percpu__options_parse - the same from a text; NULL is an empty one.
 * Context: async-signal-safe.
 */
struct percpu__options percpu__options(bool report);
struct percpu__options percpu__options_parse(const char *text, bool report);

#endif
