/* SPDX-License-Identifier: MIT */
/* Sanitizers and Valgrind, where the program runs under them: sanitizer.c. */
#ifndef PERCPU_PLATFORM_SANITIZER_H
#define PERCPU_PLATFORM_SANITIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns: true if a sanitizer or Valgrind follows allocations; the answer never changes. */
bool percpu__is_sanitized(void);

/* One range of every copy. */
struct percpu__sanitized {
	char *first;
	size_t stride, bytes;
	unsigned nr;
};

/*
 * percpu__sanitizer_begin - the area is allocated from now on. Returns: its trace, for the caller
 * to keep, or NULL.
 * percpu__sanitizer_end - every access to the area is an error from now on. Context: no lock held,
 * since malloc may take locks of its own.
 * percpu__sanitizer_pause - the library may access the area again, to prepare it.
 * percpu__sanitizer_forget - frees the trace; NULL is fine.
 */
struct percpu__trace;
struct percpu__trace *percpu__sanitizer_begin(struct percpu__sanitized area);
void percpu__sanitizer_end(struct percpu__sanitized area, struct percpu__trace *trace);
void percpu__sanitizer_pause(struct percpu__sanitized area);
void percpu__sanitizer_forget(struct percpu__trace *trace);

/* Tell ThreadSanitizer that objects go from the caller to the thread that takes them over. */
void percpu__sanitizer_hand_over(void *const *objects, size_t n);
void percpu__sanitizer_take_over(void *const *objects, size_t n);

/* on: pointers in the range keep their targets from being leaks; off: no longer. */
void percpu__hold_pointers(const void *start, size_t bytes, bool on);

/*
 * Forgets the pointers that an unloaded copy of the library held, even if it had no use for them.
 */
void percpu__forget_pointers(const void *start, size_t bytes);

/* Tells Valgrind about memory that a system call wrote and that Valgrind does not know. */
void percpu__kernel_wrote(void *start, size_t bytes);

/* Calls tell after a report about an address; it may print a trace. */
void percpu__on_report(void (*tell)(uintptr_t address));
void percpu__sanitizer_print(const struct percpu__trace *trace);

#endif
