/* SPDX-License-Identifier: MIT */
/*
 * Owns pools: chunks in an index, under one policy, one limit and one lock; and the list of them all.
 *
 * An area is taken from the chunk that fits it best; a new chunk is made only when none fits. A number and two
 * page masks a chunk tell what its areas' copies may hold:
 *
 *	fresh    granule from which no copy was ever written: no zeroing
 *	dirty    pages handed out since they were fresh or purged: zeroing on reuse
 *	free     pages that hold no live area; free and dirty ones are idle, and may be purged
 */
#include <errno.h>
#include <string.h>

#include "percpu/area_cache.h"
#include "percpu/percpu.h"
#include "topology/topology.h"

static struct percpu__lock registry_lock = PERCPU__LOCK_INIT(PERCPU__RANK_REGISTRY);
static struct percpu_pool *registry; /* registry lock */

static struct percpu_pool default_pool;
static bool default_ready; /* written under the registry lock; its release pairs with percpu__pool_default */

static size_t chunk_index_bytes(void)
{
	return percpu__chunk_index_bytes(PERCPU__CHUNK_INDEX_SLOTS);
}

int percpu__pool_init(struct percpu_pool *pool, const char *name, const struct percpu_pool_attr *attr,
		      enum percpu__rank rank)
{
	const struct percpu__options options = percpu__options(false);
	const uint64_t decay_ms = attr->decay_ms == PERCPU_POOL_DECAY_NEVER ? UINT64_MAX : attr->decay_ms;
	void *memory = percpu__map(chunk_index_bytes());

	if (!memory)
		return -ENOMEM;
	percpu__start();
	percpu__chunk_index_init(&pool->chunk_index, PERCPU__CHUNK_INDEX_SLOTS, memory);
	percpu__lock_init(&pool->lock, rank);
	pool->name = name;
	pool->huge = attr->huge_pages == PERCPU_ON || (attr->huge_pages == PERCPU_DEFAULT && options.huge);
	pool->populate = attr->populate == PERCPU_ON;
	pool->node_policy = attr->node_policy != PERCPU_OFF;
	pool->limit_granules = attr->limit_bytes ? attr->limit_bytes / PERCPU__GRANULE + (attr->limit_bytes % PERCPU__GRANULE > 0)
						 : SIZE_MAX;
	percpu__pool_age_init(pool, decay_ms ? decay_ms : options.decay_ms,
			      attr->keep_bytes ? attr->keep_bytes : options.keep_bytes);
	return 0;
}

/* The caller holds the registry lock. */
static void enlist(struct percpu_pool *pool)
{
	percpu__lock_made_in_fork(&pool->lock, &registry_lock);
	pool->next = registry;
	registry = pool;
}

struct percpu_pool *percpu__pool_default(void)
{
	static const struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;

	if (percpu__likely(__atomic_load_n(&default_ready, __ATOMIC_ACQUIRE)))
		return &default_pool;
	percpu__fork_init();
	percpu__start();
	percpu__debug_on(); /* reads the environment, once */
	percpu__lock(&registry_lock);
	if (!default_ready && percpu__pool_init(&default_pool, "default", &attr, PERCPU__RANK_POOL) == 0) {
		default_pool.has_area_cache = percpu_mode() == PERCPU_MODE_RSEQ && !percpu__debug_on() &&
				       percpu__fence_ready();
		enlist(&default_pool);
		__atomic_store_n(&default_ready, true, __ATOMIC_RELEASE);
	}
	percpu__unlock(&registry_lock);
	return default_ready ? &default_pool : NULL;
}

struct percpu_pool *percpu__pool_or_default(struct percpu_pool *pool)
{
	return pool ? pool : percpu__pool_default();
}

/* ---- areas ---- */

/* 4 KiB pages that the area lies in, wholly or in part. */
static uint64_t pages_of(uint32_t offset, uint32_t granules)
{
	const uint32_t first = offset / PERCPU__PAGE_GRANULES;
	const uint32_t last = (offset + granules - 1) / PERCPU__PAGE_GRANULES;

	return (~UINT64_C(0) << first) & (~UINT64_C(0) >> (PERCPU__UNIT_PAGES - 1 - last));
}

/* Sets a chunk's masks, and the pool's counts of them. */
static void set_pages(struct percpu_pool *pool, struct percpu__chunk *chunk, uint64_t free_pages, uint64_t dirty_pages)
{
	if (percpu__likely(chunk->free_pages == free_pages && chunk->dirty_pages == dirty_pages))
		return;
	pool->idle_pages -= __builtin_popcountll(chunk->free_pages & chunk->dirty_pages);
	pool->live_pages -= __builtin_popcountll(~chunk->free_pages);
	chunk->free_pages = free_pages;
	chunk->dirty_pages = dirty_pages;
	pool->idle_pages += __builtin_popcountll(free_pages & dirty_pages);
	if (pool->idle_pages < pool->age.least_pages)
		pool->age.least_pages = pool->idle_pages;
	pool->live_pages += __builtin_popcountll(~free_pages);
}

static struct percpu__chunk *chunk_in(const struct percpu_pool *pool, uint32_t slot)
{
	return (struct percpu__chunk *)percpu__chunk_index_at(&pool->chunk_index, slot);
}
_Static_assert(offsetof(struct percpu__chunk, area_map) == 0, "the maps of the index are our chunks");

bool percpu__pool_grow(struct percpu_pool *pool)
{
	struct percpu__chunk *chunk = percpu__chunk_create(pool);

	if (!chunk)
		return false;
	if (percpu__pagemap_insert(chunk) < 0)
		goto destroy;
	chunk->slot = percpu__chunk_index_add(&pool->chunk_index, &chunk->area_map);
	if (chunk->slot == PERCPU__NO_SLOT)
		goto remove;
	pool->nr_empty++;
	pool->nr_unplaced += !chunk->placed;
	pool->nr_huge += chunk->huge;
	return true;
remove:
	percpu__pagemap_remove(chunk);
destroy:
	percpu__chunk_destroy(chunk);
	return false;
}

void percpu__pool_drop(struct percpu_pool *pool, struct percpu__chunk *chunk)
{
	percpu_assert(percpu__area_map_is_empty(&chunk->area_map));
	pool->nr_empty--;
	pool->nr_unplaced -= !chunk->placed;
	pool->nr_huge -= chunk->huge;
	set_pages(pool, chunk, ~UINT64_C(0), 0);
	percpu__chunk_index_remove(&pool->chunk_index, chunk->slot);
	percpu__pagemap_remove(chunk);
	percpu__chunk_destroy(chunk);
}

bool percpu__pool_take(struct percpu_pool *pool, uint32_t granules, uint32_t align_granules,
		       struct percpu__area *area, bool *dirty)
{
	struct percpu__chunk *chunk;
	uint32_t slot, offset, old_end;
	uint64_t pages, old_pages = 0;

	if (granules > pool->limit_granules || pool->chunk_index.live_granules > pool->limit_granules - granules)
		return false;
	while (!percpu__chunk_index_alloc(&pool->chunk_index, granules, align_granules, &slot, &offset))
		if (!percpu__pool_grow(pool))
			return false;
	chunk = chunk_in(pool, slot);
	pool->nr_empty -= chunk->area_map.nr_live == 1;
	if (pool->nr_empty < pool->age.least_empty)
		pool->age.least_empty = pool->nr_empty;

	/* Only what was handed out before, and was not purged since, can hold anything. */
	old_end = offset + granules < chunk->fresh ? offset + granules : chunk->fresh;
	if (offset < old_end)
		old_pages = pages_of(offset, old_end - offset);
	*dirty = old_pages & chunk->dirty_pages;
	if (chunk->fresh < offset + granules)
		chunk->fresh = offset + granules;
	pages = pages_of(offset, granules);
	set_pages(pool, chunk, chunk->free_pages & ~pages, chunk->dirty_pages | pages);
	if (percpu__unlikely(pool->shared))
		percpu__shared_note(pool->shared, chunk, offset, granules, true);
	*area = (struct percpu__area){ chunk, offset * PERCPU__GRANULE, granules * PERCPU__GRANULE };
	return true;
}

void percpu__pool_put(struct percpu_pool *pool, void __percpu *p)
{
	struct percpu__chunk *chunk = percpu__pagemap_find((uintptr_t)p);
	const uint32_t offset = ((uintptr_t)p & (PERCPU_STRIDE - 1)) / PERCPU__GRANULE;
	struct percpu__range merged;
	uint32_t granules;

	/* Two frees of one area at once may both have found it in use. */
	granules = chunk ? percpu__chunk_index_free(&pool->chunk_index, chunk->slot, offset, &merged) : 0;
	if (!granules)
		percpu__fatal("percpu_free",
			      &(struct percpu__subject){ .pointer = (const void *)(uintptr_t)p, .pool = pool->name },
			      PERCPU__FAULT_CONCURRENT_FREE);
	if (percpu__unlikely(pool->shared))
		percpu__shared_note(pool->shared, chunk, offset, granules, false);
	pool->nr_empty += percpu__area_map_is_empty(&chunk->area_map);
	set_pages(pool, chunk, chunk->free_pages | percpu__range_pages(merged), chunk->dirty_pages);
}

void percpu__pool_claim(struct percpu_pool *pool, struct percpu__chunk *chunk, uint32_t at, uint32_t end)
{
	const bool was_empty = percpu__area_map_is_empty(&chunk->area_map);
	struct percpu__range merged;

	for (uint32_t i = at; i < end; i = bit_next_relaxed(chunk->area_map.bitmaps->head, i + 1)) {
		const uint32_t head = bit_test_relaxed(chunk->area_map.bitmaps->head, i) ? i : bit_before_relaxed(chunk->area_map.bitmaps->head, i);

		percpu__chunk_index_free(&pool->chunk_index, chunk->slot, head, &merged);
	}
	percpu__chunk_index_claim(&pool->chunk_index, chunk->slot, at, end);
	pool->nr_empty -= was_empty;
}

void percpu__pool_claimed(struct percpu_pool *pool, struct percpu__chunk *chunk, uint32_t fresh)
{
	if (fresh < chunk->area_map.fresh)
		fresh = chunk->area_map.fresh;
	if (chunk->fresh < fresh)
		chunk->fresh = fresh;
	set_pages(pool, chunk, ~percpu__area_map_live_pages(&chunk->area_map),
		  chunk->fresh ? chunk->dirty_pages | pages_of(0, chunk->fresh) : 0);
}

void percpu__pool_prepare(struct percpu__area *areas, unsigned nr)
{
	for (unsigned i = 0; percpu__unlikely(percpu__debug_on()) && i < nr; i++)
		percpu__debug_reused(areas[i]);
	percpu__copies_zero(areas, nr);
}

void __percpu *percpu__pool_take_zeroed(struct percpu_pool *pool, uint32_t granules, uint32_t align_granules)
{
	struct percpu__area area;
	bool taken, dirty;

	percpu__ask_nodes(percpu_abi.nr_copies - 1);
	percpu__lock(&pool->lock);
	taken = percpu__pool_take(pool, granules, align_granules, &area, &dirty);
	percpu__unlock(&pool->lock);
	if (!taken)
		return NULL;
	if (dirty)
		percpu__pool_prepare(&area, 1);
	return percpu__area_pointer(area);
}

bool percpu__pool_is_valid(const struct percpu_pool *pool)
{
	size_t idle_pages = 0, live_pages = 0, nr_empty = 0;

	percpu__chunk_index_for_each(&pool->chunk_index, slot) {
		const struct percpu__chunk *chunk = chunk_in(pool, slot);

		if (chunk->pool != pool || chunk->slot != slot ||
		    percpu__pagemap_find((uintptr_t)chunk->base) != chunk ||
		    percpu__area_map_live_pages(&chunk->area_map) != ~chunk->free_pages)
			return false;
		idle_pages += __builtin_popcountll(chunk->free_pages & chunk->dirty_pages);
		live_pages += __builtin_popcountll(~chunk->free_pages);
		nr_empty += percpu__area_map_is_empty(&chunk->area_map);
	}
	return idle_pages == pool->idle_pages && live_pages == pool->live_pages && nr_empty == pool->nr_empty &&
	       percpu__chunk_index_is_valid(&pool->chunk_index);
}

/* ---- the registry ---- */

void percpu__pools_lock(void)
{
	percpu__lock(&registry_lock);
}

void percpu__pools_unlock(void)
{
	percpu__unlock(&registry_lock);
}

void percpu__pools_lock_for_fork(void)
{
	percpu__lock_for_fork(&registry_lock);
}

void percpu__pools_unlock_after_fork(void)
{
	percpu__unlock_after_fork(&registry_lock);
}

void percpu__pools_visit(void (*visit)(struct percpu_pool *pool, void *arg), void *arg)
{
	for (struct percpu_pool *pool = registry; pool; pool = pool->next)
		visit(pool, arg);
}

struct search {
	uintptr_t address;
	struct percpu_pool *found;
};

static void look_for_slots(struct percpu_pool *pool, void *arg)
{
	struct search *search = arg;

	if (pool->shared && search->address - (uintptr_t)pool->shared->slots < pool->shared->nr_slots * pool->shared->slot_bytes)
		search->found = pool;
}

struct percpu_pool *percpu__pool_of(uintptr_t address)
{
	const unsigned judge = percpu__lookup_begin();
	const struct percpu__chunk *chunk = percpu__pagemap_find(address);
	struct search search = { address, chunk ? chunk->pool : NULL };

	percpu__lookup_end(judge);
	if (percpu__likely(search.found))
		return search.found;
	percpu__pools_lock();
	percpu__pools_visit(look_for_slots, &search);
	percpu__pools_unlock();
	return search.found;
}

/* ---- the public entries ---- */

/* Older programs pass less than all of the struct, newer ones more, which must then be zero. */
static bool read_attr(const struct percpu_pool_attr *given, struct percpu_pool_attr *attr)
{
	const size_t known = sizeof(*attr);

	*attr = (struct percpu_pool_attr)PERCPU_POOL_ATTR_INIT;
	if (!given)
		return true;
	if (given->size < offsetof(struct percpu_pool_attr, limit_bytes) || given->size > PERCPU_STRIDE)
		return false;
	for (size_t i = known; i < given->size; i++)
		if (((const char *)given)[i])
			return false;
	memcpy(attr, given, given->size < known ? given->size : known);
	return attr->huge_pages <= PERCPU_OFF && attr->populate <= PERCPU_OFF && attr->node_policy <= PERCPU_OFF &&
	       attr->published <= PERCPU_OFF;
}

/* The name lies behind the pool, in the same mapping. */
static size_t pool_bytes(const char *name)
{
	return sizeof(struct percpu_pool) + strlen(name) + 1;
}

struct percpu_pool *percpu_pool_create(const char *name, const struct percpu_pool_attr *given)
{
	struct percpu_pool_attr attr;
	struct percpu_pool *pool;
	int error;

	if (!read_attr(given, &attr)) {
		errno = EINVAL;
		return NULL;
	}
	if (!name)
		name = "";
	percpu__fork_init();
	pool = percpu__map(pool_bytes(name));
	error = pool ? 0 : -ENOMEM;
	if (error)
		goto fail;
	strcpy((char *)(pool + 1), name);
	error = percpu__pool_init(pool, (const char *)(pool + 1), &attr, PERCPU__RANK_POOL);
	if (error)
		goto release;
	if (attr.published == PERCPU_ON) {
		pool->huge = false; /* the machine decides alone whether shared memory gets huge pages */
		error = percpu__shared_create(&pool->shared, name, attr.limit_bytes, percpu__chunk_reservation_bytes());
	}
	if (error)
		goto release_chunk_index;
	percpu__lock(&registry_lock);
	enlist(pool);
	percpu__unlock(&registry_lock);
	return pool;
release_chunk_index:
	percpu__release(pool->chunk_index.tree, chunk_index_bytes());
release:
	percpu__release(pool, pool_bytes(name));
fail:
	errno = -error;
	return NULL;
}

int percpu_pool_destroy(struct percpu_pool *pool)
{
	struct percpu_pool **link = &registry;
	int error;

	if (!pool)
		return -EINVAL;
	percpu__lock(&registry_lock);
	while (*link && *link != pool)
		link = &(*link)->next;
	if (!*link || pool == &default_pool) {
		percpu__unlock(&registry_lock);
		return -EINVAL;
	}
	error = percpu__pool_own(pool);
	percpu__lock(&pool->lock);
	percpu_assert(percpu__pool_is_valid(pool));
	if (pool->chunk_index.nr_live || error) {
		error = pool->chunk_index.nr_live ? -EBUSY : error;
		percpu__unlock(&pool->lock);
		percpu__unlock(&registry_lock);
		return error;
	}
	if (pool->shared)
		percpu__shared_disown(pool->shared);
	*link = pool->next;
	percpu__chunk_index_for_each(&pool->chunk_index, slot)
		percpu__pool_drop(pool, chunk_in(pool, slot));
	percpu__unlock(&pool->lock);
	percpu__unlock(&registry_lock);
	if (pool->shared)
		percpu__shared_destroy(pool->shared);
	percpu__release(pool->chunk_index.tree, chunk_index_bytes());
	percpu__gone_put(pool, pool_bytes(pool->name), &pool->gone, false);
	return 0;
}

/* All but the size; the caller holds the lock. */
static void collect_stats(const struct percpu_pool *pool, struct percpu_pool_stats *stats)
{
	struct percpu__area_cache_stats kept = pool->has_area_cache ? percpu__area_cache_stats()
							 : (struct percpu__area_cache_stats){ .nr = 0 };

	/* Read CPU after CPU, it may count an area twice that moved meanwhile. */
	if (kept.nr > pool->chunk_index.nr_live)
		kept.nr = pool->chunk_index.nr_live;
	if (kept.bytes > pool->chunk_index.live_granules * PERCPU__GRANULE)
		kept.bytes = pool->chunk_index.live_granules * PERCPU__GRANULE;

	stats->nr_chunks = pool->chunk_index.nr_chunks;
	stats->nr_live = pool->chunk_index.nr_live - kept.nr;
	stats->cached_bytes = kept.bytes;
	stats->live_bytes = pool->chunk_index.live_granules * PERCPU__GRANULE - kept.bytes;
	stats->used_page_bytes = pool->live_pages * PERCPU__PAGE_GRANULES * PERCPU__GRANULE;
	stats->held_page_bytes = stats->used_page_bytes + pool->idle_pages * PERCPU__PAGE_GRANULES * PERCPU__GRANULE;
	stats->bookkeeping_bytes = kept.bookkeeping_bytes + percpu__resident_bytes(pool->chunk_index.tree, chunk_index_bytes());
	percpu__chunk_index_for_each(&pool->chunk_index, slot) {
		stats->reserved_bytes += chunk_in(pool, slot)->reserved_bytes;
		stats->bookkeeping_bytes += percpu__chunk_bookkeeping_bytes(chunk_in(pool, slot));
	}
	stats->purged_bytes = pool->purged_bytes;
	stats->nr_chunks_unplaced = percpu__has_nodes() ? pool->nr_unplaced : 0;
	stats->nr_chunks_huge = pool->nr_huge;
	stats->limit_bytes = pool->limit_granules == SIZE_MAX ? 0 : pool->limit_granules * PERCPU__GRANULE;
}

int percpu_pool_stats(struct percpu_pool *pool, struct percpu_pool_stats *out)
{
	struct percpu_pool_stats stats = { .size = 0 };
	size_t size = out ? out->size : 0;

	if (size < sizeof(stats.size) + sizeof(stats.nr_chunks))
		return -EINVAL;
	pool = percpu__pool_or_default(pool);
	if (!pool)
		return -ENOMEM;
	percpu__static_collect();
	percpu__lock(&pool->lock);
	percpu_assert(percpu__pool_is_valid(pool));
	collect_stats(pool, &stats);
	percpu__unlock(&pool->lock);
	if (size > sizeof(stats))
		size = sizeof(stats);
	stats.size = size;
	memcpy(out, &stats, size);
	return 0;
}

ssize_t percpu_pool_misplaced(struct percpu_pool *pool)
{
	ssize_t bytes = 0;
	uint32_t slot = 0;

	pool = percpu__pool_or_default(pool);
	if (!pool)
		return -ENOMEM;
	if (!percpu__has_nodes())
		return 0;
	percpu__ask_nodes(percpu_abi.nr_copies - 1);
	percpu__find_new_cpus(PERCPU__SYSFS, percpu_abi.nr_copies - 1);
	/* Chunk by chunk: others want the lock, too. */
	do {
		ssize_t of_chunk = 0;

		percpu__lock(&pool->lock);
		slot = percpu__chunk_index_next(&pool->chunk_index, slot);
		if (slot != PERCPU__NO_SLOT)
			of_chunk = percpu__chunk_misplaced_bytes(chunk_in(pool, slot++));
		percpu__unlock(&pool->lock);
		if (of_chunk < 0)
			return of_chunk;
		bytes += of_chunk;
	} while (slot != PERCPU__NO_SLOT);
	return bytes;
}
