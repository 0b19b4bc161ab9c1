/* SPDX-License-Identifier: MIT */
/* The front's inline half: taking and keeping an area without a lock. front.c tells the whole of it. */
#ifndef PERCPU_FRONT_H
#define PERCPU_FRONT_H

#include "percpu/percpu.h"

#define PERCPU__FRONT_GRANULES 64u /* the largest area kept */
#define PERCPU__FRONT_SLOTS 15u

struct percpu__front_stack {
	struct percpu__stack head;
	void *slot[PERCPU__FRONT_SLOTS];
};
_Static_assert(sizeof(struct percpu__front_stack) == 128, "two lines, found by a shift");

/* Stacks by size: [granules - 1]. */
struct percpu__front {
	struct percpu__front_stack used[PERCPU__FRONT_GRANULES];
	struct percpu__front_stack clean[PERCPU__FRONT_GRANULES];
};
_Static_assert(sizeof(struct percpu__front) <= PERCPU_MAX_SIZE, "one allocation");

/* NULL until it is made; then for ever. */
extern struct percpu__front __percpu *percpu__front;

static inline struct percpu__stack __percpu *percpu__front_used(struct percpu__front __percpu *front, uint32_t granules)
{
	return &front->used[granules - 1].head;
}

static inline bool percpu__front_push(struct percpu__stack __percpu *stack, void __percpu *item)
{
	return percpu__stack_push(stack, percpu__untyped(item));
}

static inline void __percpu *percpu__front_pop(struct percpu__stack __percpu *stack)
{
	return (void __percpu *)(uintptr_t)percpu__stack_pop(stack);
}

/*
 * What the front writes into the tag of an area: its granules, so that a free need not look for them,
 * and whether a stack holds it, so that a second free is found out. A word of up to
 * PERCPU__FRONT_GRANULES, but not 0, is thus that of a live area that was here before.
 */
#define PERCPU__KEPT 0x10000u

static inline void percpu__front_mark(const void __percpu *p, uint64_t mark)
{
	__atomic_store_n(percpu__tag_of(p), mark, __ATOMIC_RELAXED);
}

/* Makes what was on a stack ready for its owner. */
__attribute__((returns_nonnull)) void __percpu *percpu__front_hand_out(void __percpu *item, uint32_t granules);

/* A ready area of that size, up to PERCPU__FRONT_GRANULES, zeroed; NULL: none at hand, or many copies. */
static inline __attribute__((always_inline)) void __percpu *percpu__front_take(uint32_t granules)
{
	struct percpu__front __percpu *front = __atomic_load_n(&percpu__front, __ATOMIC_ACQUIRE); /* pairs with make_front */
	void __percpu *item;

	if (percpu__unlikely(!front || !percpu__copies_are_few()))
		return NULL;
	item = percpu__front_pop(percpu__front_used(front, granules));
	if (percpu__unlikely(!item))
		return NULL;
	/* A counter and a line of counters are what programs allocate all day. */
	if (granules == 1)
		percpu__copies_zero_few(item, 1);
	else if (granules == 8 && percpu__likely(!percpu__crosses_page(item, 8)))
		percpu__copies_zero_few(item, 8);
	else
		return percpu__front_hand_out(item, granules);
	percpu__front_mark(item, granules);
	return item;
}

/* Keeps a live area of a fronted pool ready. false: the caller gives it back itself. */
static inline bool percpu__front_keep(void __percpu *p, uint32_t granules)
{
	struct percpu__front __percpu *front = __atomic_load_n(&percpu__front, __ATOMIC_ACQUIRE); /* pairs with make_front */

	if (percpu__unlikely(!front || granules > PERCPU__FRONT_GRANULES))
		return false;
	percpu__front_mark(p, granules | PERCPU__KEPT);
	if (percpu__likely(percpu__front_push(percpu__front_used(front, granules), p)))
		return true;
	percpu__front_mark(p, granules);
	return false;
}

/* When percpu__front_take had none: several at a time where that is cheaper. NULL: the front cannot help. */
void __percpu *percpu__front_refill(struct percpu_pool *pool, uint32_t granules);

/* After percpu__front_keep said no: opens, relieves or widens the stacks of this CPU. Pool lock held. */
void percpu__front_relieve(struct percpu_pool *pool, uint32_t granules, bool waited);

/*
 * Stops all use of the stacks until percpu__front_relieve opens them again. Pool lock held.
 * Returns: false where the kernel refuses fences: a section that began before may still end.
 */
bool percpu__front_close(void);

/* What the stacks hold is lost: in a child whose parent could not be kept from using them. Pool lock held. */
void percpu__front_forget(void);

/* percpu__front_close, then gives all areas back, if it could. Pool lock held. */
void percpu__front_drain(struct percpu_pool *pool);

/* Areas kept now, their bytes, and the resident bytes of the stacks themselves. */
struct percpu__front_stats {
	size_t nr, bytes, bookkeeping_bytes;
};
struct percpu__front_stats percpu__front_stats(void);

#endif
