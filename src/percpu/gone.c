/* SPDX-License-Identifier: MIT */
/*
 * Owns memory that is to be unmapped as soon as no lookup can read it. Validation of a pointer
 * reads the metadata of its chunk without a lock, so that signal handlers may ask for sizes. A live
 * area keeps its chunk mapped. But an invalid pointer may lie in a chunk without live areas, which
 * another thread may unmap during the validation.
 *
 *	lookup		increments a count, finds the chunk in the pagemap, reads, decrements
 *	unmap		removes the chunk from the pagemap, reads the counts
 *
 * Both have a full barrier after their first step, so at least one sees the other. While a count is
 * not zero, metadata stays mapped and waits in a list (units are unmapped at once); the next unmap
 * empties the list if it can. The last chunk waits in any case, because the fast path of a free
 * reads metadata for a few instructions without a count.
 */
#include "percpu/percpu.h"

#define NR_COUNTS 16u /* by CPU; each has a cache line */
static struct {
	uint64_t nr; /* lookups in progress; atomic */
	char rest[56];
} lookups[NR_COUNTS] __attribute__((aligned(64)));

static struct percpu__gone *waiting; /* the list; atomic, emptied by an exchange of the whole */

unsigned percpu__lookup_begin(void)
{
	const unsigned which = percpu_this_cpu() % NR_COUNTS;

	__atomic_fetch_add(&lookups[which].nr, 1, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with has_lookups */
	return which;
}

void percpu__lookup_end(unsigned which)
{
	__atomic_fetch_sub(&lookups[which].nr, 1, __ATOMIC_RELEASE); /* pairs with has_lookups */
}

void percpu__lookups_forget(void)
{
	for (unsigned i = 0; i < NR_COUNTS; i++)
		__atomic_store_n(&lookups[i].nr, 0, __ATOMIC_RELAXED);
}

/* Returns: true if a lookup is in progress. The acquires pair with percpu__lookup_end. */
static bool has_lookups(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with percpu__lookup_begin */
	for (unsigned i = 0; i < NR_COUNTS; i++)
		if (__atomic_load_n(&lookups[i].nr, __ATOMIC_ACQUIRE))
			return true;
	return false;
}

/* Puts a list that ends with last in front of those that wait. */
static void push(struct percpu__gone *first, struct percpu__gone *last)
{
	last->next = __atomic_load_n(&waiting, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&waiting, &last->next, first, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		; /* pairs with percpu__gone_put */
}

void percpu__gone_put(void *start, size_t bytes, struct percpu__gone *note, bool may_stay)
{
	/* pairs with push */
	struct percpu__gone *old = __atomic_exchange_n(&waiting, NULL, __ATOMIC_ACQUIRE);
	struct percpu__gone *last = old;
	const bool must_wait = has_lookups();

	if (must_wait && old) {
		while (last->next)
			last = last->next;
		push(old, last);
	}
	while (!must_wait && old) {
		const struct percpu__gone one = *old;

		percpu__release(one.start, one.bytes);
		old = one.next;
	}
	if (!must_wait && !may_stay) {
		percpu__release(start, bytes);
		return;
	}
	if (!must_wait)
		percpu__purge(start, bytes);
	*note = (struct percpu__gone){ NULL, start, bytes };
	push(note, note);
}
