/* SPDX-License-Identifier: MIT */
/*
 * Owns the public functions that allocate and free, and the validation of pointers: fault_of is the
 * list of rules, in the order in which they are checked. Validation does not access the memory that
 * the pointer names.
 *
 * Fast path: small areas come from the CPU's area cache and return to it, without a lock. Slow
 * path: the pool, under its lock; zeroing follows after the unlock.
 */
#include <errno.h>
#include <string.h>

#include "percpu/area_cache.h"
#include "percpu/percpu.h"
#include "topology/topology.h"

/* ---- requests ---- */

/* Validates a request and converts it to granules. Returns: 0 or -errno. */
static inline int read_request(size_t size, size_t align, uint32_t *granules,
			       uint32_t *align_granules)
{
	if (percpu__unlikely(!size || !align || (align & (align - 1)) || align > PERCPU_MAX_ALIGN))
		return -EINVAL;
	if (percpu__unlikely(size > PERCPU_MAX_SIZE))
		return -E2BIG;
	*granules = (size + PERCPU__GRANULE - 1) / PERCPU__GRANULE;
	*align_granules = align <= PERCPU__GRANULE ? 1 : align / PERCPU__GRANULE;
	return 0;
}

static void __percpu *fail(int error)
{
	errno = -error;
	return NULL;
}

static void __percpu *take(struct percpu_pool *pool, uint32_t granules, uint32_t align_granules,
			   const void *caller)
{
	void __percpu *p = pool ? percpu__pool_take_zeroed(pool, granules, align_granules) : NULL;

	if (!p)
		return fail(-ENOMEM);
	if (percpu__unlikely(percpu__debug_on()))
		percpu__debug_allocated(percpu__area_of(p), caller);
	percpu__pools_age(percpu__now_ms());
	return p;
}

/* Slow path of percpu_alloc: every request, and creation of the default pool. */
static __attribute__((noinline)) void __percpu *alloc(size_t size, size_t align, const void *caller)
{
	uint32_t granules, align_granules;
	const int error = read_request(size, align, &granules, &align_granules);
	struct percpu_pool *pool = percpu__pool_default();
	void __percpu *p = NULL;

	if (error)
		return fail(error);
	if (align_granules == 1 && pool)
		p = percpu__area_cache_refill(pool, granules);
	return p ? p : take(pool, granules, align_granules, caller);
}

void __percpu *percpu_alloc(size_t size, size_t align)
{
	/* The usual sizes and alignments; alloc validates and serves all others. */
	if (percpu__likely(size - 1 < PERCPU__AREA_CACHE_GRANULES * PERCPU__GRANULE &&
			   align - 1 < PERCPU__GRANULE && !(align & (align - 1)))) {
		const uint32_t granules = (size + PERCPU__GRANULE - 1) / PERCPU__GRANULE;
		void __percpu *p = percpu__area_cache_alloc(granules);

		if (percpu__likely(p != NULL))
			return p;
	}
	return alloc(size, align, __builtin_return_address(0));
}

void __percpu *percpu_alloc_array(size_t n, size_t size, size_t align)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return fail(-ENOMEM);
	return alloc(bytes, align, __builtin_return_address(0));
}

void __percpu *percpu_pool_alloc(struct percpu_pool *pool, size_t size, size_t align)
{
	uint32_t granules, align_granules;
	int error = read_request(size, align, &granules, &align_granules);

	if (!pool)
		return alloc(size, align, __builtin_return_address(0));
	if (error)
		return fail(error);
	error = percpu__pool_own(pool);
	if (percpu__unlikely(error))
		return fail(error);
	return take(pool, granules, align_granules, __builtin_return_address(0));
}

/* ---- frees ---- */

/*
 * The policy: a pointer that breaks a rule ends the process. Neighbouring areas may be allocated
 * and freed meanwhile.
 */
static enum percpu__fault fault_of(const struct percpu__chunk *chunk, uintptr_t address)
{
	const uint32_t offset_bytes = address & (PERCPU_STRIDE - 1);

	if (percpu__unlikely(!chunk))
		return PERCPU__FAULT_NOT_PERCPU;
	if (percpu__unlikely(address - offset_bytes != (uintptr_t)chunk->base))
		return PERCPU__FAULT_COPY;
	if (percpu__unlikely(offset_bytes % PERCPU__GRANULE))
		return PERCPU__FAULT_MISALIGNED;
	if (percpu__unlikely(
		    !percpu__area_map_is_live(&chunk->area_map, offset_bytes / PERCPU__GRANULE)))
		return PERCPU__FAULT_NOT_LIVE;
	if (percpu__unlikely(__atomic_load_n(percpu__tag_of((const void __percpu *)address),
					     __ATOMIC_RELAXED) &
			     PERCPU__KEPT))
		return PERCPU__FAULT_DOUBLE_FREE;
	return PERCPU__NO_FAULT;
}

/*
 * Finds the area of p. An invalid pointer may lie in a chunk that another thread is unmapping,
 * hence the lookup. Returns: the rule that p breaks; PERCPU__NO_FAULT if none.
 */
static enum percpu__fault find_area(const void __percpu *p, struct percpu__area *area)
{
	const unsigned lookup = percpu__lookup_begin();
	enum percpu__fault fault;

	*area = (struct percpu__area){ percpu__pagemap_find((uintptr_t)p),
				       (uintptr_t)p & (PERCPU_STRIDE - 1), 0 };
	fault = fault_of(area->chunk, (uintptr_t)p);
	if (percpu__likely(!fault))
		area->bytes = percpu__area_map_size(&area->chunk->area_map,
						    area->offset_bytes / PERCPU__GRANULE) *
			      PERCPU__GRANULE;
	percpu__lookup_end(lookup);
	return fault;
}

/*
 * Ends the process. Another thread may destroy the pool, so the name is copied during a lookup,
 * which keeps it mapped.
 */
static __attribute__((cold)) _Noreturn void refuse(const void __percpu *p, const char *call,
						   enum percpu__fault fault)
{
	const unsigned lookup = percpu__lookup_begin();
	const struct percpu__chunk *chunk = percpu__pagemap_find((uintptr_t)p);
	char name[80] = "";

	if (chunk)
		strncpy(name, chunk->pool->name, sizeof(name) - 1);
	percpu__lookup_end(lookup);
	percpu__fatal(call,
		      &(struct percpu__subject){ .pointer = (const void *)(uintptr_t)p,
						 .pool = name[0] ? name : NULL },
		      fault);
}

/* Returns: the area of p; ends the process if p is invalid. */
static struct percpu__area validate(const void __percpu *p, const char *call)
{
	struct percpu__area area;
	enum percpu__fault fault = find_area(p, &area);

	if (percpu__unlikely(fault))
		refuse(p, call, fault);
	return area;
}

/*
 * Returns: true if p is to be ignored: it lies in a published pool that another process owns, or in
 * one that this process has taken over. There the live areas are known from the file, which other
 * processes write, so a pointer that seems invalid proves no error of the caller.
 */
static __attribute__((cold)) bool is_ignored(const void __percpu *p)
{
	struct percpu_pool *pool = percpu__pool_of((uintptr_t)p);
	struct percpu__area area;

	if (!pool || !pool->shared)
		return false;
	if (percpu__pool_own(pool))
		return true;
	return __atomic_load_n(&pool->shared->is_second_hand, __ATOMIC_RELAXED) &&
	       find_area(p, &area) && area.chunk && (uintptr_t)p % PERCPU__GRANULE == 0 &&
	       (uintptr_t)p - (uintptr_t)area.chunk->base < PERCPU_STRIDE;
}

/*
 * Finds the area to free; ends the process if p is invalid.
 * Returns: false if there is nothing to free. Context: no lock is held.
 */
static inline bool validate_for_free(const void __percpu *p, struct percpu__area *area,
				     const char *call)
{
	if (percpu__likely(!find_area(p, area) && !area->chunk->pool->shared))
		return true;
	if (is_ignored(p))
		return false;
	*area = validate(p, call); /* again: is_ignored may have taken the pool over */
	return true;
}

/* Slow path of percpu_free: every pointer. */
static __attribute__((noinline)) void free_any(void __percpu *p)
{
	struct percpu__area area;
	struct percpu_pool *pool;
	bool waited;

	if (!p)
		return;
	if (!validate_for_free(p, &area, "percpu_free"))
		return;
	pool = area.chunk->pool;
	if (pool->has_area_cache && percpu__area_cache_free(p, area.bytes / PERCPU__GRANULE))
		return;
	if (percpu__unlikely(percpu__debug_on()))
		percpu__debug_freed(area);
	percpu__ask_nodes(percpu_abi.nr_copies - 1);
	waited = percpu__lock(&pool->lock);
	if (pool->has_area_cache)
		percpu__area_cache_flush(pool, area.bytes / PERCPU__GRANULE, waited);
	if (percpu__pool_put(pool, p))
		percpu__trim_after_free(pool);
	percpu__unlock(&pool->lock);
	percpu__pools_age(percpu__now_ms());
}

/*
 * Returns: granules of a live area that the area cache held before, from its tag; 0 for any other
 * pointer, valid or not.
 */
static inline uint32_t known_granules(const void __percpu *p)
{
	const uintptr_t address = (uintptr_t)p;
	const struct percpu__chunk *chunk = percpu__pagemap_find(address);
	uint64_t word;

	if (percpu__unlikely(!chunk || (address & ~(PERCPU_STRIDE - 1)) != (uintptr_t)chunk->base ||
			     address % PERCPU__GRANULE))
		return 0;
	word = __atomic_load_n(percpu__tag_of(p), __ATOMIC_RELAXED);
	return word <= PERCPU__AREA_CACHE_GRANULES ? word : 0;
}

void percpu_free(void __percpu *p)
{
	const uint32_t granules = known_granules(p);

	if (percpu__unlikely(!granules || !percpu__area_cache_free(p, granules)))
		free_any(p);
}

size_t percpu_usable_size(const void __percpu *p)
{
	struct percpu__area area;
	enum percpu__fault fault;
	struct percpu_pool *pool;

	if (!p || (!find_area(p, &area) && !area.chunk->pool->shared))
		return p ? area.bytes : 0;
	pool = percpu__pool_of((uintptr_t)p);
	if (pool && pool->shared && !percpu__shared_is_own(pool->shared))
		return percpu__shared_size(pool->shared, (uintptr_t)p) * PERCPU__GRANULE;
	fault = find_area(p, &area);
	if (percpu__unlikely(fault))
		refuse(p, "percpu_usable_size",
		       fault == PERCPU__FAULT_DOUBLE_FREE ? PERCPU__FAULT_USE_AFTER_FREE :
		       fault == PERCPU__FAULT_NOT_LIVE	  ? PERCPU__FAULT_USE_NOT_LIVE :
							    fault);
	return area.bytes;
}

/* ---- bulk: each batch takes the lock once and visits the copies once ---- */

#define BATCH 64u

void percpu_free_bulk(size_t n, void __percpu **ptrs)
{
	struct percpu_pool *locked = NULL;

	for (size_t i = 0; i < n; i++) {
		struct percpu__area area;

		if (!ptrs[i])
			continue;
		if (find_area(ptrs[i], &area) || area.chunk->pool != locked ||
		    percpu__unlikely(percpu__debug_on())) {
			if (locked)
				percpu__unlock(&locked->lock);
			locked = NULL;
			if (!validate_for_free(ptrs[i], &area, "percpu_free_bulk"))
				continue;
			/* The hooks may call malloc, so no lock is held. */
			if (percpu__unlikely(percpu__debug_on()))
				percpu__debug_freed(area);
			locked = area.chunk->pool;
			percpu__lock(&locked->lock);
		}
		if (percpu__pool_put(locked, ptrs[i]))
			percpu__trim_after_free(locked);
	}
	if (locked)
		percpu__unlock(&locked->lock);
	percpu__pools_age(percpu__now_ms());
}

/* Allocates up to BATCH zeroed areas. Returns: their number. */
static size_t take_batch(struct percpu_pool *pool, uint32_t granules, uint32_t align_granules,
			 size_t n, void __percpu **out, const void *caller)
{
	struct percpu__area areas[BATCH];
	unsigned nr = 0, nr_dirty = 0;
	struct percpu__area area;
	bool dirty;

	percpu__ask_nodes(percpu_abi.nr_copies - 1);
	percpu__lock(&pool->lock);
	while (nr < n && nr < BATCH &&
	       percpu__pool_take(pool, granules, align_granules, &area, &dirty)) {
		out[nr++] = percpu__area_pointer(area);
		if (dirty)
			areas[nr_dirty++] = area;
	}
	percpu__unlock(&pool->lock);
	percpu__pool_prepare(areas, nr_dirty);
	for (unsigned i = 0; percpu__debug_on() && i < nr; i++)
		percpu__debug_allocated(percpu__area_of(out[i]), caller);
	return nr;
}

int percpu_alloc_bulk(size_t size, size_t align, size_t n, void __percpu **out)
{
	struct percpu_pool *pool = percpu__pool_default();
	uint32_t granules, align_granules;
	const int error = read_request(size, align, &granules, &align_granules);
	size_t done = 0, taken;

	if (error)
		return error;
	if (!pool)
		return -ENOMEM;
	for (; done < n; done += taken) {
		taken = take_batch(pool, granules, align_granules, n - done, out + done,
				   __builtin_return_address(0));
		if (taken)
			continue;
		percpu_free_bulk(done, out);
		memset(out, 0, done * sizeof(*out));
		return -ENOMEM;
	}
	return 0;
}
