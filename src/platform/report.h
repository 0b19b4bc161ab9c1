/* SPDX-License-Identifier: MIT */
/*
 * Fatal errors and warnings of the library: a fault of the catalogue and its subject make a line on
 * standard error.
 */
#ifndef PERCPU_PLATFORM_REPORT_H
#define PERCPU_PLATFORM_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "platform/faults.h"

#define PERCPU__FAULT_CONSTANT(name, text) PERCPU__FAULT_##name,
enum percpu__fault { PERCPU__NO_FAULT, PERCPU__FAULTS(PERCPU__FAULT_CONSTANT) PERCPU__NR_FAULTS };
#undef PERCPU__FAULT_CONSTANT

/*
 * What a message is about. The strings may be hostile: control characters are escaped and the
 * length is bounded.
 */
struct percpu__subject {
	const void *pointer;
	const char *pool, *cache; /* names; NULL if the subject has none, or it is not known */
	uint64_t object_bytes;    /* of the cache */
	const char *text;
	uint64_t value[3];
};

/*
 * percpu__fatal - prints "libpercpu: call: text (pool or cache)" on standard error and aborts.
 * subject may be NULL.
 * Context: async-signal-safe; any lock may be held; nothing is allocated.
 */
_Noreturn void percpu__fatal(const char *call, const struct percpu__subject *subject,
			     enum percpu__fault fault) __attribute__((cold));

/*
 * percpu__warn - prints the same line and returns; without a call if that is
 * NULL. Context: as percpu__fatal.
 */
void percpu__warn(const char *call, const struct percpu__subject *subject, enum percpu__fault fault)
	__attribute__((cold));

/*
 * Writes "object+0xoffset" of a code address to text, or the address alone. The result is cut to
 * size bytes.
 */
void percpu__describe_code(const void *address, char *text, size_t size);

/* Registers a function that runs at exit, before the destructors of modules. */
void percpu__at_exit(void (*function)(void));

/* A debug assertion: type-checked always, evaluated under --enable-checks. */
#ifdef PERCPU_CHECKS
#define percpu_assert(condition)                                                                             \
	((condition) ? (void)0 : percpu__fatal(__func__, &(const struct percpu__subject){ .text = #condition },   \
					       PERCPU__FAULT_ASSERTION))
#else
#define percpu_assert(condition) ((void)sizeof(condition))
#endif

#endif
