/* SPDX-License-Identifier: MIT */
/*
 * Static per-CPU variables.
 *
 *	PERCPU_DEFINE(struct stats, stats);		a file of the program, or of a plugin
 *	static PERCPU_DEFINE(long, hits);
 *	PERCPU_DECLARE(struct stats, stats);		where others see it
 *
 * The name is a per-CPU pointer like one that percpu_new() returned, zeroed, and set before main,
 * or before dlopen() returns; operations on it cost what they cost on any other. Who needs one
 * earlier still, in a constructor of the same module, calls percpu_new() there.
 *
 * A plugin's variables go when dlclose() unloads it: their memory is free again from when the next
 * module comes or goes, or somebody calls percpu_trim() or percpu_pool_stats(). At exit all
 * variables stay to the very end, when other threads may still be counting. There is no way to
 * fail: without memory for it, the process prints one line and aborts.
 */
#ifndef PERCPU_STATIC_H
#define PERCPU_STATIC_H

#include <percpu/alloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Constructors of variables run before all that a program may declare. */
#define PERCPU__STATIC_PRIORITY 101

/*
 * What modules call when they come and go; key is any address of theirs, one per attachment.
 * percpu_static_attach returns the same per-CPU pointer for a key until it is detached: size bytes,
 * as initial has them in every copy, or zero (NULL). percpu_static_detach takes unknown keys for
 * done.
 * Context: MT-safe; constructors, destructors; not async-signal-safe.
 */
PERCPU_API void __percpu *percpu_static_attach(const void *key, const void *initial, size_t size,
					       size_t align);
PERCPU_API void percpu_static_detach(const void *key);

/* A program is never unloaded, so that only the code of shared objects detaches. */
#if defined(__PIC__) && !defined(__PIE__)
#define PERCPU__STATIC_DETACH(name)                                                                          \
	__attribute__((__destructor__(PERCPU__STATIC_PRIORITY))) static void percpu__detach_##name(void)     \
	{                                                                                                    \
		percpu_static_detach(&name);                                                                 \
	}
#else
#define PERCPU__STATIC_DETACH(name)
#endif

#define PERCPU_DEFINE(type, name)                                                                            \
	__typeof__(type) __percpu *name;                                                                     \
	__attribute__((__constructor__(PERCPU__STATIC_PRIORITY))) static void percpu__attach_##name(void)    \
	{                                                                                                    \
		name = (__typeof__(type) __percpu *)percpu_static_attach(&name, NULL, sizeof(type),          \
									 percpu__alignof(type));             \
	}                                                                                                    \
	PERCPU__STATIC_DETACH(name)                                                                          \
	PERCPU__STATIC_ASSERT(sizeof(type) <= PERCPU_MAX_SIZE, "a per-CPU variable fits in a unit")
#define PERCPU_DECLARE(type, name) extern __typeof__(type) __percpu *name

#ifdef __cplusplus
}
#endif
#endif
