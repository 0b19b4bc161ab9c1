/* SPDX-License-Identifier: MIT */
/*
 * Owns the area cache of the default pool: a few freed areas that every CPU keeps, so that most pairs
 * of alloc and free take no lock. It is per-CPU memory of the library's own kind: a class for each size
 * of up to PERCPU__AREA_CACHE_GRANULES, and in it two bounded stacks, pushed and popped by rseq sections.
 *
 *	free -> used -> (zeroed, several at a time) -> clean -> alloc		where copies are many
 *	free -> used -> (zeroed) -> alloc					where they are few
 *
 * An area on a stack still counts as live to its chunk; its tag in the chunk says so, and a
 * second free of it is found out. How many a stack keeps is decided in limit_of.
 *
 * A stack whose limit is zero is closed: all is closed at first, and by fork and trim. Who finds this
 * CPU's stacks closed opens them under the pool's lock. Who closes them sets the limits to zero and
 * fences: from then on no section can touch a stack, and whoever holds the lock may.
 *
 *	who			beside whom		kept apart by
 *	push, pop		others of the CPU	rseq
 *	open, close, drain	one another		pool lock
 *	close, drain		push, pop		limit 0, then fence
 */
#include "percpu/area_cache.h"
#include "percpu/percpu.h"
#include "topology/topology.h"


struct percpu__area_cache __percpu *percpu__area_cache; /* set once, under the default pool's lock */
static struct percpu_pool own_pool;           /* where it lies; the default pool's lock */
static enum state { NEVER, CLOSED, OPEN } *state; /* of each CPU's stacks; the default pool's lock */

static struct percpu__stack __percpu *clean_of(struct percpu__area_cache __percpu *cache, uint32_t granules)
{
	return &cache->clean[granules - 1].head;
}

/*
 * How many areas a stack keeps is a matter of two minds. The more, the fewer small gaps are filled: churn of
 * mixed sizes packs to 95.6 % without a cache, 94.8 % with 128 bytes a stack, 92.5 % with 15 areas. The
 * fewer, the more often CPUs meet at the lock. So a stack begins with little, and a CPU that had to wait
 * for the lock doubles the stack that sent it there. A lot for many copies is worth more from the start.
 */
static uint32_t first_limit(uint32_t granules)
{
	const uint32_t kept_bytes = percpu__copies_are_few() ? 128 : 1024;
	const uint32_t nr = kept_bytes / (granules * PERCPU__GRANULE);

	return nr < PERCPU__AREA_CACHE_SLOTS ? nr : PERCPU__AREA_CACHE_SLOTS;
}

static uint32_t doubled_limit(uint32_t limit)
{
	return limit < PERCPU__AREA_CACHE_SLOTS / 2 ? 2 * limit + 1 : PERCPU__AREA_CACHE_SLOTS;
}

/* The limit on the caller's CPU, a hint. */
static uint32_t limit_here(struct percpu__area_cache __percpu *cache, uint32_t granules)
{
	return __atomic_load_n(&percpu_this_ptr(percpu__area_cache_used(cache, granules))->limit, __ATOMIC_RELAXED);
}

/* ---- by the lot: zeroing where copies are many, and what the pool is asked for ---- */

static void __percpu *marked(void __percpu *item, uint32_t granules)
{
	percpu__area_cache_mark(item, granules);
	return item;
}

void __percpu *percpu__area_cache_hand_out(void __percpu *item, uint32_t granules)
{
	if (percpu__crosses_page(item, granules))
		percpu__copies_zero_one(item);
	else
		percpu__copies_zero_few(item, granules);
	return marked(item, granules);
}

/* Keeps clean items but the first, which is handed out. */
static void __percpu *keep_clean(struct percpu__area_cache __percpu *cache, uint32_t granules, void __percpu **items,
				 unsigned nr)
{
	struct percpu__stack __percpu *stack =
		percpu__copies_are_few() ? percpu__area_cache_used(cache, granules) : clean_of(cache, granules);

	while (--nr) {
		percpu__area_cache_mark(items[nr], granules | PERCPU__KEPT);
		if (!percpu__area_cache_push(stack, items[nr]))
			percpu__pool_return(marked(items[nr], granules)); /* moved to a CPU whose stack is full */
	}
	return marked(items[0], granules);
}

/* Where there are many copies: from what was zeroed before, or a new lot. NULL: neither. */
static void __percpu *take_clean(struct percpu__area_cache __percpu *cache, uint32_t granules)
{
	struct percpu__stack __percpu *used = percpu__area_cache_used(cache, granules);
	struct percpu__area areas[PERCPU__AREA_CACHE_SLOTS];
	void __percpu *items[PERCPU__AREA_CACHE_SLOTS];
	void __percpu *item = percpu__area_cache_pop(clean_of(cache, granules));
	unsigned nr = 0;

	if (item)
		return marked(item, granules);
	/* Half a stack of used ones is a lot that is worth it. */
	if (__atomic_load_n(&percpu_this_ptr(used)->nr, __ATOMIC_RELAXED) < limit_here(cache, granules) / 2)
		return NULL;
	for (; nr < PERCPU__AREA_CACHE_SLOTS && (item = percpu__area_cache_pop(used)); nr++) {
		items[nr] = item;
		areas[nr] = percpu__area_of(item);
	}
	if (!nr)
		return NULL;
	percpu__copies_zero(areas, nr);
	return keep_clean(cache, granules, items, nr);
}

void __percpu *percpu__area_cache_refill(struct percpu_pool *pool, uint32_t granules)
{
	struct percpu__area_cache __percpu *cache = __atomic_load_n(&percpu__area_cache, __ATOMIC_ACQUIRE); /* pairs with make_area_cache */
	struct percpu__area areas[PERCPU__AREA_CACHE_SLOTS];
	void __percpu *items[PERCPU__AREA_CACHE_SLOTS];
	unsigned wanted, nr = 0, nr_dirty = 0;
	void __percpu *clean;
	bool dirty;

	if (!cache || granules > PERCPU__AREA_CACHE_GRANULES)
		return NULL;
	wanted = limit_here(cache, granules);
	if (percpu__copies_are_few())
		wanted = wanted > first_limit(granules) ? wanted / 2 : 0;
	else if ((clean = take_clean(cache, granules)))
		return clean;
	if (!wanted)
		return NULL;
	percpu__ask_nodes(percpu_abi.nr_copies - 1);
	percpu__lock(&pool->lock);
	for (; nr < wanted && percpu__pool_take(pool, granules, 1, &areas[nr_dirty], &dirty); nr++) {
		items[nr] = percpu__area_pointer(areas[nr_dirty]);
		nr_dirty += dirty;
	}
	percpu__unlock(&pool->lock);
	if (!nr)
		return NULL;
	percpu__pool_prepare(areas, nr_dirty);
	return keep_clean(cache, granules, items, nr);
}

/* ---- opening, closing, draining, under the default pool's lock ---- */

static bool make_area_cache(void)
{
	static const struct percpu_pool_attr attr = { .size = sizeof(attr), .huge_pages = PERCPU_OFF };
	const uint32_t granules = sizeof(struct percpu__area_cache) / PERCPU__GRANULE;
	static bool tried;

	if (tried)
		return percpu__area_cache;
	tried = true;
	state = percpu__map(percpu_nr_cpus() * sizeof(*state));
	if (!state || percpu__pool_init(&own_pool, "area cache", &attr, PERCPU__RANK_OWN_POOL) < 0)
		return false;
	__atomic_store_n(&percpu__area_cache, percpu__pool_take_zeroed(&own_pool, granules, 64 / PERCPU__GRANULE),
			 __ATOMIC_RELEASE);
	return percpu__area_cache;
}

/* In a CPU's copy: its limits, or zero. */
static void set_limits(unsigned cpu, bool open)
{
	struct percpu__area_cache *copy = percpu_ptr(percpu__area_cache, cpu);

	for (uint32_t granules = 1; granules <= PERCPU__AREA_CACHE_GRANULES; granules++) {
		const uint32_t limit = open ? first_limit(granules) : 0;

		/* After what was done to the stack while it was closed; pairs with percpu__stack_push. */
		__atomic_store_n(&copy->used[granules - 1].head.limit, limit, __ATOMIC_RELEASE);
		__atomic_store_n(&copy->clean[granules - 1].head.limit, limit, __ATOMIC_RELEASE);
	}
	state[cpu] = open ? OPEN : CLOSED;
}

void percpu__area_cache_flush(struct percpu_pool *pool, uint32_t granules, bool waited)
{
	const unsigned cpu = percpu_this_cpu();
	struct percpu__stack *stack;

	if (percpu__unlikely(percpu__is_locked_for_fork(&pool->lock)))
		return; /* closed for the fork, and stays so */
	if (granules > PERCPU__AREA_CACHE_GRANULES || !make_area_cache() || cpu >= percpu_nr_cpus())
		return;
	if (state[cpu] != OPEN) {
		set_limits(cpu, true);
		return;
	}
	stack = percpu_ptr(percpu__area_cache_used(percpu__area_cache, granules), cpu);
	if (waited)
		__atomic_store_n(&stack->limit, doubled_limit(stack->limit), __ATOMIC_RELAXED);
	for (uint32_t nr = stack->limit / 2; nr; nr--) {
		void __percpu *item = percpu__area_cache_pop(percpu__area_cache_used(percpu__area_cache, granules));

		if (!item)
			return;
		percpu__pool_put(pool, item);
	}
}

bool percpu__area_cache_stop(void)
{
	if (!percpu__area_cache)
		return true;
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++)
		if (state[cpu] == OPEN)
			set_limits(cpu, false);
	return percpu__fence();
}

void percpu__area_cache_forget(void)
{
	for (unsigned cpu = 0; percpu__area_cache && cpu < percpu_nr_cpus(); cpu++) {
		struct percpu__area_cache *copy = percpu_ptr(percpu__area_cache, cpu);

		for (uint32_t i = 0; state[cpu] != NEVER && i < PERCPU__AREA_CACHE_GRANULES; i++)
			copy->used[i].head.nr = copy->clean[i].head.nr = 0;
	}
}

static void drain(struct percpu_pool *pool, struct percpu__area_cache_stack *stack)
{
	while (stack->head.nr) {
		void *item = stack->slot[--stack->head.nr];

		percpu__take_over(item);
		percpu__pool_put(pool, (void __percpu *)(uintptr_t)item);
	}
}

void percpu__area_cache_drain(struct percpu_pool *pool)
{
	if (!percpu__area_cache_stop())
		return;
	for (unsigned cpu = 0; percpu__area_cache && cpu < percpu_nr_cpus(); cpu++) {
		struct percpu__area_cache *copy = percpu_ptr(percpu__area_cache, cpu);

		for (uint32_t i = 0; state[cpu] != NEVER && i < PERCPU__AREA_CACHE_GRANULES; i++) {
			drain(pool, &copy->used[i]);
			drain(pool, &copy->clean[i]);
		}
	}
}

struct percpu__area_cache_stats percpu__area_cache_stats(void)
{
	struct percpu__area_cache_stats stats = { .nr = 0 };

	if (!percpu__area_cache)
		return stats;
	for (unsigned cpu = 0; cpu < percpu_nr_cpus(); cpu++) {
		const struct percpu__area_cache *copy = percpu_ptr(percpu__area_cache, cpu);

		for (uint32_t i = 0; state[cpu] != NEVER && i < PERCPU__AREA_CACHE_GRANULES; i++) {
			const size_t nr = __atomic_load_n(&copy->used[i].head.nr, __ATOMIC_RELAXED) +
					  __atomic_load_n(&copy->clean[i].head.nr, __ATOMIC_RELAXED);

			stats.nr += nr;
			stats.bytes += nr * (i + 1) * PERCPU__GRANULE;
		}
		if (state[cpu] != NEVER)
			stats.bookkeeping_bytes += percpu__resident_bytes((void *)((uintptr_t)copy & ~(percpu__page_bytes() - 1)),
									  sizeof(*copy));
	}
	return stats;
}
