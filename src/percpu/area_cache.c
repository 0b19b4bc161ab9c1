/* SPDX-License-Identifier: MIT */
/*
 * Owns the area cache of the default pool: each CPU keeps some freed areas, so that most pairs of
 * alloc and free take no lock. The cache itself lies in per-CPU memory. It has a size class for
 * each number of granules up to PERCPU__AREA_CACHE_GRANULES; a class has two bounded stacks, which
 * rseq critical sections push and pop.
 *
 *	many copies:	free -> used -> (zeroed in batches) -> clean -> alloc
 *	few copies:	free -> used -> (zeroed) -> alloc
 *
 * An area on a stack is still live in its chunk's area map. Its tag has PERCPU__KEPT, by which a
 * double free is detected. The limit of a stack starts at first_limit and doubles (doubled_limit).
 *
 * A stack with limit 0 is stopped. All stacks are stopped at first, and again by fork and trim. A
 * free that finds the stacks of its CPU stopped starts them, under the pool's lock. Stopping sets
 * the limits to 0 and then fences: afterwards no critical section can change a stack, and the
 * holder of the lock may.
 *
 *	access			concurrent with		excluded by
 *	push, pop		push, pop of the CPU	rseq
 *	start, stop, drain	start, stop, drain	pool lock
 *	stop, drain		push, pop		limit 0, then fence
 */
#include "percpu/area_cache.h"
#include "percpu/percpu.h"
#include "topology/topology.h"

/* All three are written under the default pool's lock; the first is read without it. */
struct percpu__area_cache __percpu *percpu__area_cache; /* set once */
static struct percpu_pool own_pool;                     /* holds the area cache */
static enum state { NEVER, STOPPED, STARTED } *state;   /* [cpu]: of the CPU's stacks */

static struct percpu__stack __percpu *clean_of(struct percpu__area_cache __percpu *cache,
					       uint32_t granules)
{
	return &cache->clean[granules - 1].head;
}

/*
 * The stack limit is a trade-off. A high limit causes fragmentation: churn of mixed sizes packs to
 * 95.6 % without a cache, 94.8 % with 128 bytes per stack, 92.5 % with 15 areas. A low limit causes
 * contention for the lock. So the limit starts low, and a CPU that had to wait for the lock doubles
 * the limit of the stack that overflowed. With many copies it starts higher, because a large batch
 * is cheaper to zero.
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

/* Returns: the limit on the caller's CPU, a hint. */
static uint32_t limit_here(struct percpu__area_cache __percpu *cache, uint32_t granules)
{
	return __atomic_load_n(&percpu_this_ptr(percpu__area_cache_used(cache, granules))->limit,
			       __ATOMIC_RELAXED);
}

/* ---- refill: zeroing in batches where copies are many, and requests to the pool ---- */

/* Tags the item as allocated, and returns it. */
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

/* Puts all items but the first on a stack, and returns the first as allocated. All are zeroed. */
static void __percpu *keep_clean(struct percpu__area_cache __percpu *cache, uint32_t granules,
				 void __percpu **items, unsigned nr)
{
	struct percpu__stack __percpu *stack = percpu__copies_are_few()
						       ? percpu__area_cache_used(cache, granules)
						       : clean_of(cache, granules);

	while (--nr) {
		percpu__area_cache_mark(items[nr], granules | PERCPU__KEPT);
		/* After a migration to a CPU whose stack is full or stopped. */
		if (!percpu__area_cache_push(stack, items[nr]))
			percpu__pool_return(marked(items[nr], granules));
	}
	return marked(items[0], granules);
}

/*
 * Allocates where copies are many: a clean area, or one of a batch of used areas that it zeroes.
 * Returns: NULL if there is no clean area and too few used ones.
 */
static void __percpu *take_clean(struct percpu__area_cache __percpu *cache, uint32_t granules)
{
	struct percpu__stack __percpu *used = percpu__area_cache_used(cache, granules);
	struct percpu__area areas[PERCPU__AREA_CACHE_SLOTS];
	void __percpu *items[PERCPU__AREA_CACHE_SLOTS];
	void __percpu *item = percpu__area_cache_pop(clean_of(cache, granules));
	unsigned nr = 0;

	if (item)
		return marked(item, granules);
	/* Half a stack of used areas is worth a visit to all copies. */
	if (__atomic_load_n(&percpu_this_ptr(used)->nr, __ATOMIC_RELAXED) <
	    limit_here(cache, granules) / 2)
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
	/* pairs with make_area_cache */
	struct percpu__area_cache __percpu *cache =
		__atomic_load_n(&percpu__area_cache, __ATOMIC_ACQUIRE);
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
	for (; nr < wanted && percpu__pool_take(pool, granules, 1, &areas[nr_dirty], &dirty);
	     nr++) {
		items[nr] = percpu__area_pointer(areas[nr_dirty]);
		nr_dirty += dirty;
	}
	percpu__unlock(&pool->lock);
	if (!nr)
		return NULL;
	percpu__pool_prepare(areas, nr_dirty);
	return keep_clean(cache, granules, items, nr);
}

/* ---- start, stop, flush, drain, under the default pool's lock ---- */

/* Makes the area cache at the first call. Returns: true if it exists. */
static bool make_area_cache(void)
{
	static const struct percpu_pool_attr attr = { .size = sizeof(attr),
						      .huge_pages = PERCPU_OFF };
	const uint32_t granules = sizeof(struct percpu__area_cache) / PERCPU__GRANULE;
	static bool tried;

	if (tried)
		return percpu__area_cache;
	tried = true;
	state = percpu__map(percpu_nr_cpus() * sizeof(*state));
	if (!state || percpu__pool_init(&own_pool, "area cache", &attr, PERCPU__RANK_OWN_POOL) < 0)
		return false;
	__atomic_store_n(&percpu__area_cache,
			 percpu__pool_take_zeroed(&own_pool, granules, 64 / PERCPU__GRANULE),
			 __ATOMIC_RELEASE);
	return percpu__area_cache;
}

/* Starts or stops a CPU's stacks; stopping still needs a fence. */
static void set_limits(unsigned cpu, bool start)
{
	struct percpu__area_cache *copy = percpu_ptr(percpu__area_cache, cpu);

	for (uint32_t granules = 1; granules <= PERCPU__AREA_CACHE_GRANULES; granules++) {
		const uint32_t limit = start ? first_limit(granules) : 0;

		/* Orders changes of the stopped stack before; pairs with percpu__stack_push. */
		__atomic_store_n(&copy->used[granules - 1].head.limit, limit, __ATOMIC_RELEASE);
		__atomic_store_n(&copy->clean[granules - 1].head.limit, limit, __ATOMIC_RELEASE);
	}
	state[cpu] = start ? STARTED : STOPPED;
}

void percpu__area_cache_flush(struct percpu_pool *pool, uint32_t granules, bool waited)
{
	const unsigned cpu = percpu_this_cpu();
	struct percpu__stack *stack;

	if (percpu__unlikely(percpu__is_locked_for_fork(&pool->lock)))
		return; /* stopped for the fork, and stays so until it is over */
	if (granules > PERCPU__AREA_CACHE_GRANULES || !make_area_cache() || cpu >= percpu_nr_cpus())
		return;
	if (state[cpu] != STARTED) {
		set_limits(cpu, true);
		return;
	}
	stack = percpu_ptr(percpu__area_cache_used(percpu__area_cache, granules), cpu);
	if (waited)
		__atomic_store_n(&stack->limit, doubled_limit(stack->limit), __ATOMIC_RELAXED);
	for (uint32_t nr = stack->limit / 2; nr; nr--) {
		void __percpu *item = percpu__area_cache_pop(
			percpu__area_cache_used(percpu__area_cache, granules));

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
		if (state[cpu] == STARTED)
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
			const size_t nr =
				__atomic_load_n(&copy->used[i].head.nr, __ATOMIC_RELAXED) +
				__atomic_load_n(&copy->clean[i].head.nr, __ATOMIC_RELAXED);

			stats.nr += nr;
			stats.bytes += nr * (i + 1) * PERCPU__GRANULE;
		}
		if (state[cpu] != NEVER)
			stats.bookkeeping_bytes += percpu__resident_bytes(
				(void *)((uintptr_t)copy & ~(percpu__page_bytes() - 1)),
				sizeof(*copy));
	}
	return stats;
}
