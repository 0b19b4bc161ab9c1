/* SPDX-License-Identifier: MIT */
/* Operations on every copy of an area: copies.c, and present.c, which knows the pages of copies. */
#ifndef PERCPU_COPIES_H
#define PERCPU_COPIES_H

#include "percpu/chunk.h"

/* ---- present.c ---- */

/* With so few copies, reading each one costs less than asking the kernel which have pages. */
#define PERCPU__FEW_COPIES 16u
static inline bool percpu__copies_are_few(void)
{
	return percpu_abi.nr_copies <= PERCPU__FEW_COPIES;
}

/*
 * The copies that a sum may read without percpu__present_of, whatever its operand: all of them, or
 * 0 if it has to ask.
 */
extern uint32_t percpu__plain_copies;
static inline uint32_t percpu__nr_plain_copies(void)
{
	return __atomic_load_n(&percpu__plain_copies, __ATOMIC_RELAXED);
}

/*
 * Returns: true if reading an untouched copy in a chunk of this pool allocates its page. If copies
 * are many, sums ask percpu__present_of from now on, so call this before the chunk is published.
 */
bool percpu__reads_make_pages(const struct percpu_pool *pool);

/*
 * percpu__present_find - completes chunk->present for these pages of a unit, each of which holds a
 * live area; asks the kernel about those that are not known.
 * Returns: true if chunk->present tells which copies have them; false if all copies may be read.
 */
bool percpu__present_find(struct percpu__chunk *chunk, uint64_t pages);

/*
 * The copies that have the page of a pointer into a live area; all others read as zero.
 * Context: async-signal-safe.
 */
struct percpu__present {
	const uint64_t *copies; /* NULL: all may be read */
	uint64_t page;
};
struct percpu__present percpu__present_asked(const void *p);

static inline struct percpu__present percpu__present_of(const void *p)
{
	return percpu__likely(percpu__nr_plain_copies())
		       ? (struct percpu__present){ .copies = NULL }
		       : percpu__present_asked(p);
}

static inline bool percpu__is_present(struct percpu__present present, unsigned copy)
{
	return !present.copies ||
	       (__atomic_load_n(&present.copies[copy], __ATOMIC_RELAXED) & present.page);
}

/* Forgets pages that are about to be purged. Context: the pool's lock is held. */
void percpu__present_forget(struct percpu__chunk *chunk, uint64_t pages);

/* ---- copies.c ---- */

/* An allocated area. */
struct percpu__area {
	struct percpu__chunk *chunk;
	uint32_t offset_bytes; /* in a unit */
	uint32_t bytes;
};

static inline void __percpu *percpu__area_pointer(struct percpu__area area)
{
	return (void __percpu *)(uintptr_t)(area.chunk->base + area.offset_bytes);
}

/* Returns: the area that p points to; p is known to be valid. */
struct percpu__area percpu__area_of(const void __percpu *p);

/* A word of a user's object of any type. */
typedef uint64_t percpu__user_word __attribute__((may_alias));

/*
 * Zeroes words of one page. Writes only if a word is not zero, so that an untouched page is not
 * allocated.
 */
static inline __attribute__((always_inline)) void percpu__zero_words(percpu__user_word *at,
								     size_t nr)
{
	typedef uint64_t pair __attribute__((vector_size(16), aligned(8), may_alias));
	uint64_t any = 0;
	size_t i = 0;

	for (; i + 8 <= nr; i += 8) /* no wider loads: they would stall on recent word stores */
		any |= ((at[i] | at[i + 1]) | (at[i + 2] | at[i + 3])) |
		       ((at[i + 4] | at[i + 5]) | (at[i + 6] | at[i + 7]));
	for (; i < nr; i++)
		any |= at[i];
	if (!any)
		return;
	for (i = 0; i + 2 <= nr; i += 2) /* volatile, or it becomes a call of memset */
		*(volatile pair *)(at + i) = (pair){ 0, 0 };
	if (i < nr)
		*(volatile percpu__user_word *)(at + i) = 0;
}

/* Returns: true if the area at p lies in more than one 4 KiB page. */
static inline bool percpu__crosses_page(const void __percpu *p, uint32_t granules)
{
	return (uintptr_t)p / PERCPU__GRANULE % PERCPU__PAGE_GRANULES + granules >
	       PERCPU__PAGE_GRANULES;
}

/* Zeroes an area that lies in one 4 KiB page, reading every copy: for few copies. */
static inline __attribute__((always_inline)) void percpu__copies_zero_few(void __percpu *p,
									  size_t nr_words)
{
	percpu__user_word *copy = (percpu__user_word *)((uintptr_t)p + PERCPU_STRIDE);

	for (unsigned nr = percpu_abi.nr_copies; nr; nr--, copy += PERCPU_STRIDE / sizeof(*copy))
		percpu__zero_words(copy, nr_words);
}

/*
 * percpu__copies_zero - makes nr areas read as zero in every copy; allocates no page for this if
 * the kernel tells which copies have pages. Many areas of one chunk cost little more than one.
 * areas: its contents are destroyed.
 */
void percpu__copies_zero(struct percpu__area *areas, unsigned nr);

/* As percpu__copies_zero, for the area that p points to. */
void percpu__copies_zero_one(void __percpu *p);

/* Fills every copy of the area with poison. */
void percpu__copies_poison(struct percpu__area area);

/* Ends the process if a word of any copy of the area is neither poison nor zero. */
void percpu__copies_verify(struct percpu__area area);

#endif
