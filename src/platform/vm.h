/* SPDX-License-Identifier: MIT */
/*
 * Address ranges: page.c, vm.c, thp.c, numa.c, resident.c, locked.c, zero.c. A range always
 * consists of whole pages.
 */
#ifndef PERCPU_PLATFORM_VM_H
#define PERCPU_PLATFORM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- page.c ---- */

size_t percpu__page_bytes(void);

/* ---- vm.c ---- */

/*
 * Reserves addresses without memory. They are inaccessible, and in no core file before they are
 * committed. The start is skew bytes below a multiple of align, a power of two of a page or more.
 * Returns: NULL if there is no room.
 */
void *percpu__reserve(size_t bytes, size_t align, size_t skew);
void percpu__release(void *start, size_t bytes);

/* Makes a reserved range readable and writable; pages come by touch. Returns: 0 or -errno. */
int percpu__commit(void *start, size_t bytes);

/* Makes a reserved range readable: it reads as zero until it is committed. Returns: 0 or -errno. */
int percpu__make_readable(void *start, size_t bytes);

/*
 * Maps readable and writable zeroes; pages come by touch. Released as a reserved range. Returns:
 * NULL on failure.
 */
void *percpu__map(size_t bytes);

/* Gives the pages back to the kernel: the range reads as zero again. Returns: 0 or -errno. */
int percpu__purge(void *start, size_t bytes);

/* Touches every page for writing. Returns: 0 or -errno. */
int percpu__populate(void *start, size_t bytes);

/* Returns: how many mappings one process may have (vm.max_map_count). */
size_t percpu__mapping_limit(void);

/* ---- thp.c ---- */

#define PERCPU__HUGE_BYTES ((size_t)2 << 20)

/* Returns: true if this process can have transparent huge pages of PERCPU__HUGE_BYTES. */
bool percpu__huge_pages_exist(void);

/* Asks for huge pages, or for none. Returns: 0 or -errno (-EINVAL: this kernel has none). */
int percpu__advise_huge(void *start, size_t bytes, bool huge);

/* ---- numa.c ---- */

/* Prefers memory of a node for pages that are not touched yet. Returns: 0 or -errno. */
int percpu__bind(void *start, size_t bytes, unsigned node);

/*
 * Returns: the bytes of [start, end), in pages that are in memory, that lie on
 * another node; or -errno.
 */
ssize_t percpu__bytes_elsewhere(uintptr_t start, uintptr_t end, unsigned node);

/* ---- resident.c ---- */

/* Returns: the bytes of the range that are in memory now. */
size_t percpu__resident_bytes(const void *start, size_t bytes);

struct percpu__extent {
	uintptr_t start, end; /* addresses, multiples of the page size */
};

/* OWN: pages with memory or swap of their own. MAPPED: also pages that map the shared zero page. */
enum percpu__pages { PERCPU__PAGES_OWN, PERCPU__PAGES_MAPPED };

/*
 * percpu__find_pages - the parts of [*start, end) that have such pages. Fills at most capacity
 * extents and moves *start past the part that it examined; at the end *start is end.
 * Returns: the number of extents, or -errno if this kernel cannot tell.
 */
int percpu__find_pages(enum percpu__pages which, uintptr_t *start, uintptr_t end,
		       struct percpu__extent *extents, unsigned capacity);

/* ---- locked.c ---- */

/*
 * Unlocks a fresh mapping without access, so that it takes no memory in a process
 * that locks its own.
 */
void percpu__unlock_reserved(void *start, size_t bytes);

/* Returns: true if the kernel locked the last mapping as it was made. */
bool percpu__new_ones_are_locked(void);

/*
 * Locks a part on fault, if the process locks its memory. The part is about to become accessible,
 * or was never touched.
 */
void percpu__lock_touched(void *start, size_t bytes);

/* ---- zero.c ---- */

/*
 * Returns: true if a read of untouched private memory maps the shared zero page; false if it makes
 * a page, or if the kernel does not tell. The first call finds out.
 * Context: async-signal-safe.
 */
bool percpu__has_zero_page(void);

#endif
