/* SPDX-License-Identifier: MIT */
/*
 * Owns the catalogue of everything the library prints, one line a message: FAULT(name, text).
 * DIAGNOSTICS in percpu(7) explains each text, and tests take their expectations from here.
 *
 * A text has these conversions: %p is the subject's pointer, %s its text, %u and %x its next value,
 * in decimal and as an address. The call stands in front of the text, and the pool or the cache
 * behind it.
 */
#ifndef PERCPU_PLATFORM_FAULTS_H
#define PERCPU_PLATFORM_FAULTS_H

/* The process ends with SIGABRT. */
#define PERCPU__FATAL_FAULTS(FAULT)                                                                      \
	FAULT(NOT_PERCPU, "%p is not a per-CPU pointer")                                                 \
	FAULT(COPY, "%p is the address of a copy, not a per-CPU pointer")                                \
	FAULT(MISALIGNED, "interior pointer: %p is not the start of an allocation")                      \
	FAULT(DOUBLE_FREE, "double free of %p")                                                          \
	FAULT(CONCURRENT_FREE, "concurrent double free of %p")                                           \
	FAULT(NOT_LIVE, "double free or interior pointer: %p is not the start of a live allocation")     \
	FAULT(USE_AFTER_FREE, "use after free of %p")                                                    \
	FAULT(USE_NOT_LIVE, "use after free or interior pointer: %p is not the start of a live allocation") \
	FAULT(WRITE_AFTER_FREE, "use after free: %p was written to after it was freed")                  \
	FAULT(NOT_AN_OBJECT, "double free or invalid pointer: %p is not an object of any cache")         \
	FAULT(OTHER_CACHE, "wrong cache: %p is an object of another cache")                              \
	FAULT(INSIDE_OBJECT, "interior pointer: %p is not the start of an object")                       \
	FAULT(CORRUPTED_LIST, "corrupted free list at %p: use after free or double free")                \
	FAULT(HANDED_OUT_TWICE, "corrupted free list: %p was handed out while allocated")                \
	FAULT(DESTROYED_CACHE, "use of destroyed cache %p")                                              \
	FAULT(NO_SUCH_CPU, "cannot free %p to CPU %u: CPU numbers are below %u")                         \
	FAULT(FIELD_COUNT, "called with %u fields on group %p of %u fields")                             \
	FAULT(STATIC_SIZE, "static per-CPU variables of module %p exceed PERCPU_MAX_SIZE (%u > %u bytes)") \
	FAULT(STATIC_ALIGN, "static per-CPU variables of module %p exceed PERCPU_MAX_ALIGN (%u > %u bytes)") \
	FAULT(STATIC_MEMORY, "out of memory for static per-CPU variables of module %p")                  \
	FAULT(LOCK_KEY, "out of thread-specific keys for checks of the lock order")                      \
	FAULT(ASSERTION, "assertion failed: %s")

/* The process goes on. */
#define PERCPU__WARNINGS(FAULT)                                                                          \
	FAULT(BAD_OPTION, "ignored unknown option or bad value: %s")                                     \
	FAULT(EXIT_HANDLER, "out of memory for an exit handler: leaks will not be reported")             \
	FAULT(LEAK, "leak: %u bytes at %p, allocated by %s")                                             \
	FAULT(FREED_ACCESS, "%p is in copy %u of the freed allocation %x (%u bytes)")                     \
	FAULT(FREED_HERE, "freed here:")                                                                 \
	FAULT(ALLOCATED_HERE, "allocated here:")                                                         \
	FAULT(FRAME, "    #%u %s")

#define PERCPU__FAULTS(FAULT) PERCPU__FATAL_FAULTS(FAULT) PERCPU__WARNINGS(FAULT)

#endif
