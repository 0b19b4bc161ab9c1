/* SPDX-License-Identifier: MIT */
/*
 * Owns the end of chunks that somebody may still look at. A pointer given back is judged by what its chunk keeps for
 * itself, without a lock, so that signal handlers may ask for sizes. A live area keeps its chunk; but the pointer may be
 * one that was freed before, and then another thread may unmap the chunk while it is judged.
 *
 *	who judges		counts himself, finds the chunk in the index, reads, counts himself out
 *	who unmaps		takes the chunk out of the index, looks whether anybody is counted
 *
 * With a full barrier in the middle of both, one sees the other. While anybody is counted, what chunks keep for
 * themselves (their units are gone at once) waits here, and whoever unmaps the next one sees to it. The chunk that went
 * last waits in any case: the usual way of a free looks at a chunk without being counted, for a few instructions.
 */
#include "percpu/percpu.h"

#define NR_COUNTS 16u /* by CPU, a line each */
static struct {
	uint64_t nr;
	char rest[56];
} judges[NR_COUNTS] __attribute__((aligned(64)));

static struct percpu__gone *waiting; /* taken whole, by an exchange */

unsigned percpu__lookup_begin(void)
{
	const unsigned which = percpu_this_cpu() % NR_COUNTS;

	__atomic_fetch_add(&judges[which].nr, 1, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with is_judging */
	return which;
}

void percpu__lookup_end(unsigned which)
{
	__atomic_fetch_sub(&judges[which].nr, 1, __ATOMIC_RELEASE); /* pairs with is_judging */
}

void percpu__lookups_forget(void)
{
	for (unsigned i = 0; i < NR_COUNTS; i++)
		__atomic_store_n(&judges[i].nr, 0, __ATOMIC_RELAXED);
}

/* The acquires pair with percpu__lookup_end. */
static bool is_judging(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with percpu__lookup_begin */
	for (unsigned i = 0; i < NR_COUNTS; i++)
		if (__atomic_load_n(&judges[i].nr, __ATOMIC_ACQUIRE))
			return true;
	return false;
}

static void push(struct percpu__gone *first, struct percpu__gone *last)
{
	last->next = __atomic_load_n(&waiting, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&waiting, &last->next, first, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		; /* pairs with percpu__gone_put */
}

void percpu__gone_put(void *start, size_t bytes, struct percpu__gone *note, bool may_stay)
{
	struct percpu__gone *old = __atomic_exchange_n(&waiting, NULL, __ATOMIC_ACQUIRE), *last = old; /* pairs with push */
	const bool must_wait = is_judging();

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
