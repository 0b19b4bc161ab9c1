/* SPDX-License-Identifier: MIT */
/*
 * Owns caches: their handles, what follows from their attributes, and the list of them all.
 *
 * A handle lies in memory that is never given back, so that use after destroy is seen: its inlines find
 * every list closed, and the slow path the state. It is used again late, oldest first.
 */
#include <errno.h>
#include <string.h>

#include "cache/free_list.h"

#define MAGAZINE_BYTES (256u * 1024)  /* free objects that a CPU's list keeps, as far as it has slots; and its stock */
#define REFILL_BYTES (16u * 1024) /* cut from a slab at a time */
#define CONSTRUCTED_MAX 64u       /* objects that a constructor that throws takes with it */
#define BATCH_BYTES (32u * 1024)  /* of a batch that goes home */
#define HANDLES_BYTES ((size_t)64 * 1024)
#define VACANT_MIN 64u            /* handles that lie fallow before one is used again */

static struct percpu__lock lock = PERCPU__LOCK_INIT(PERCPU__RANK_CACHES);
static struct percpu__cache *caches; /* lock, as all below */
static struct percpu__cache *vacant, **vacant_end = &vacant;
static size_t nr_vacant;
static struct percpu__cache *fresh, *fresh_end; /* handles never used */
static uint32_t last_id;
static char *stopped_magazines;                       /* per-CPU pointer, of a list that is never open */

void percpu__caches_lock_for_fork(void)
{
	percpu__lock_for_fork(&lock);
}

void percpu__caches_unlock_after_fork(void)
{
	percpu__unlock_after_fork(&lock);
}

void percpu__caches_visit(void (*visit)(struct percpu__cache *cache))
{
	for (struct percpu__cache *cache = caches; cache; cache = cache->next)
		visit(cache);
}

bool percpu__caches_each(bool (*visit)(struct percpu__cache *cache, void *arg), void *arg)
{
	struct percpu__cache *cache;

	percpu__lock(&lock);
	cache = caches;
	while (cache && visit(cache, arg))
		cache = cache->next;
	percpu__unlock(&lock);
	return !cache;
}

/* ---- handles; lock ---- */

static struct percpu__cache *take_handle(void)
{
	struct percpu__cache *cache = vacant;
	uint32_t id;

	if (nr_vacant >= VACANT_MIN) {
		vacant = cache->next;
		nr_vacant--;
		id = cache->id;
		memset(cache, 0, sizeof(*cache));
		cache->id = id;
		return cache;
	}
	if (fresh == fresh_end) {
		fresh = percpu__map(HANDLES_BYTES);
		fresh_end = fresh ? fresh + HANDLES_BYTES / sizeof(*fresh) : NULL;
	}
	if (!fresh || last_id == percpu__arena.mask)
		return NULL;
	fresh->id = ++last_id;
	return fresh++;
}

static void put_handle(struct percpu__cache *cache)
{
	cache->next = NULL;
	*vacant_end = cache;
	vacant_end = &cache->next;
	nr_vacant++;
}

/* ---- what follows from size, align and flags ---- */

static uint32_t clamp(size_t value, size_t low, size_t high)
{
	return value < low ? low : value > high ? high : value;
}

/* Whether a slab of that order holds enough objects, and loses little. */
static bool is_order_good(uint32_t object_bytes, unsigned order)
{
	const size_t bytes = PERCPU__ARENA_UNIT << order;

	return bytes / object_bytes >= 8 && bytes % object_bytes * 16 <= bytes;
}

static void set_geometry(struct percpu__cache *cache, size_t size, size_t align)
{
	const bool link_behind = cache->ctor || cache->rcu || cache->check;
	size_t bytes = (size + 7) & ~(size_t)7;
	uint8_t order = 0;

	cache->link_bytes = link_behind ? bytes : 0;
	bytes = (bytes + (link_behind ? sizeof(void *) : 0) + align - 1) & ~(align - 1);
	while (order < PERCPU__SLAB_ORDER_MAX && !is_order_good(bytes, order))
		order++;
	/* Of the largest, whatever fits: at least seven objects and their links. */
	cache->object_bytes = bytes;
	cache->nr_packed = link_behind ? 0 : clamp(bytes / sizeof(uintptr_t) - 1, 0, PERCPU__PACKED_MAX);
	cache->order = order;
	cache->nr_per_slab = (PERCPU__ARENA_UNIT << order) / bytes;
	cache->zero_bytes = cache->flags & PERCPU_CACHE_ZERO ? size : 0;
	cache->magazine_limit = clamp(MAGAZINE_BYTES / bytes, 2, PERCPU__CACHE_SLOTS);
	cache->depot_limit = clamp(MAGAZINE_BYTES / bytes, 2, 16384);
	cache->refill = clamp(REFILL_BYTES / bytes, 1, cache->ctor ? CONSTRUCTED_MAX : PERCPU__CACHE_SLOTS);
	cache->batch_limit = clamp(BATCH_BYTES / bytes, 1, PERCPU__BATCH_MAX);
	cache->inverse = UINT64_MAX / bytes + 1;
}

static bool is_valid_request(size_t size, size_t align, unsigned flags, void (*ctor)(void *),
			     const struct percpu_cache_attr *attr)
{
	const unsigned known = PERCPU_CACHE_LINE_ALIGN | PERCPU_CACHE_ZERO | PERCPU_CACHE_TYPESAFE_BY_RCU;
	const bool rcu = flags & PERCPU_CACHE_TYPESAFE_BY_RCU;

	if (size < PERCPU_CACHE_MIN_SIZE || size > PERCPU_CACHE_MAX_SIZE || (align & (align - 1)) ||
	    align > PERCPU_MAX_ALIGN || (flags & ~known))
		return false;
	if ((flags & PERCPU_CACHE_ZERO) && (ctor || rcu))
		return false;
	return rcu == !!attr->flavor;
}

/* Older programs pass less than all of the struct, newer ones more, which must then be zero. */
static bool read_attr(const struct percpu_cache_attr *given, struct percpu_cache_attr *attr)
{
	const size_t known = sizeof(*attr);

	*attr = (struct percpu_cache_attr)PERCPU_CACHE_ATTR_INIT;
	if (!given)
		return true;
	if (given->size < offsetof(struct percpu_cache_attr, keep_bytes) || given->size > PERCPU_STRIDE)
		return false;
	for (size_t i = known; i < given->size; i++)
		if (((const char *)given)[i])
			return false;
	memcpy(attr, given, given->size < known ? given->size : known);
	return true;
}

static void set_age(struct percpu__cache *cache, const struct percpu_cache_attr *attr)
{
	const struct percpu__options options = percpu__options(false);
	const uint64_t decay_ms = attr->decay_ms == PERCPU_CACHE_DECAY_NEVER ? UINT64_MAX : attr->decay_ms;

	percpu__age_init(cache, decay_ms ? decay_ms : options.decay_ms,
			 attr->keep_bytes ? attr->keep_bytes : options.keep_bytes);
}

/* A few batches a CPU, so that what goes to one home is together. */
static uint8_t batches_for(unsigned nr_cpus)
{
	return nr_cpus <= 2 ? 1 : nr_cpus <= 8 ? 2 : 4;
}

/* ---- create ---- */

static bool prepare(void)
{
	struct percpu_pool *pool = percpu__pool_default();
	bool ready;

	percpu__cache_fork_init();
	percpu__ask_nodes(percpu_abi.nr_copies - 1);
	if (!percpu__arena_init())
		return false;
	percpu__lock(&lock);
	if (!stopped_magazines && pool) /* for ever, and so no leak that one should hear of */
		stopped_magazines = percpu__untyped(percpu__pool_take_zeroed(pool, PERCPU__LINE_BYTES / PERCPU__GRANULE,
								       PERCPU__LINE_BYTES / PERCPU__GRANULE));
	ready = stopped_magazines;
	percpu__unlock(&lock);
	return ready;
}

static void publish(struct percpu__cache *cache)
{
	percpu__lock_made_in_fork(&cache->lock, &lock);
	cache->state = PERCPU__CACHE_LIVE;
	cache->next = caches;
	caches = cache;
}

struct percpu_cache *percpu_cache_create_layout(unsigned layout, const char *name, size_t size, size_t align,
						unsigned flags, void (*ctor)(void *object),
						const struct percpu_cache_attr *given)
{
	const uint8_t nr_batches = batches_for(percpu_nr_cpus());
	struct percpu__cpu_cache __percpu *cpu_caches;
	struct percpu_cache_attr attr;
	struct percpu__cache *cache;

	if (!read_attr(given, &attr) || !is_valid_request(size, align, flags, ctor, &attr)) {
		errno = EINVAL;
		return NULL;
	}
	if (layout > PERCPU_CACHE_LAYOUT || ((flags & PERCPU_CACHE_TYPESAFE_BY_RCU) && !percpu__rcu_known())) {
		errno = ENOTSUP;
		return NULL;
	}
	cpu_caches = prepare() ? percpu_alloc(percpu__cpu_cache_bytes(nr_batches), PERCPU__LINE_BYTES) : NULL;
	if (!cpu_caches)
		goto no_memory;
	percpu__lock(&lock);
	cache = take_handle();
	if (!cache)
		goto unlock;
	if (flags & PERCPU_CACHE_LINE_ALIGN && align < PERCPU__LINE_BYTES)
		align = PERCPU__LINE_BYTES;
	strncpy(cache->name, name ? name : "", sizeof(cache->name) - 1);
	cache->cpu_caches = cpu_caches;
	cache->flags = flags;
	cache->ctor = ctor;
	cache->rcu = attr.flavor;
	cache->check = percpu__options(false).check;
	cache->sections = percpu_mode() == PERCPU_MODE_RSEQ && !cache->check;
	cache->remote_batches = cache->sections && percpu__fence_ready();
	cache->fences = cache->remote_batches;
	cache->nr_batches = nr_batches;
	percpu__lock_init(&cache->lock, PERCPU__RANK_CACHE);
	set_geometry(cache, size, align < 8 ? 8 : align);
	set_age(cache, &attr);
	/* The inline operations neither zero objects nor find links elsewhere than at the start of an object. */
	cache->inlines = layout == PERCPU_CACHE_LAYOUT && cache->sections && !cache->zero_bytes && !cache->link_bytes;
	cache->stopped_magazines = stopped_magazines;
	cache->pub.magazines = cache->pub.own_magazines = stopped_magazines; /* opened by the first who misses it */
	cache->pub.beyond = UINT64_C(1) << 62;
	cache->pub.slabs = (const struct percpu__slab_id *)percpu__arena.slabs;
	cache->pub.mask = percpu__arena.mask * sizeof(struct percpu__slab_id);
	cache->pub.inverse = cache->inlines ? cache->inverse : 0;
	cache->pub.size = size;
	publish(cache);
	percpu__unlock(&lock);
	return &cache->pub;
unlock:
	percpu__unlock(&lock);
	percpu_free(cpu_caches);
no_memory:
	errno = ENOMEM;
	return NULL;
}

/* ---- shrink, destroy ---- */

static struct percpu__cache *live(struct percpu_cache *handle, const char *who)
{
	struct percpu__cache *cache = percpu__cache_of(handle);

	if (cache->state != PERCPU__CACHE_LIVE)
		percpu__cache_fatal(cache, who, handle, PERCPU__FAULT_DESTROYED_CACHE);
	return cache;
}

static void drain(struct percpu__cache *cache, bool alone)
{
	percpu__magazines_stop(cache);
	percpu__magazines_stopped(cache);
	percpu__cpu_caches_drain(cache, alone);
	percpu_assert(!(alone || cache->fences || !cache->sections) || percpu__cache_check_invariants(cache));
}

ssize_t percpu_cache_shrink(struct percpu_cache *handle)
{
	struct percpu__cache *cache = live(handle, "percpu_cache_shrink");
	struct percpu__slab *slabs;
	ssize_t bytes = 0;

	percpu__lock(&cache->lock);
	drain(cache, false);
	slabs = percpu__slabs_take_all_empty(cache);
	percpu__unlock(&cache->lock);
	for (const struct percpu__slab *slab = slabs; slab; slab = slab->next)
		bytes += percpu__slab_bytes(slab);
	percpu__slabs_release(cache, slabs, true);
	return bytes;
}

static bool has_live_objects(const struct percpu__cache *cache)
{
	for (const struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used)
		if (cpu_cache->nr_slabs != cpu_cache->empty.nr)
			return true;
	return false;
}

static void unlist(struct percpu__cache *cache)
{
	struct percpu__cache **at = &caches;

	while (*at != cache)
		at = &(*at)->next;
	*at = cache->next;
}

/* What is left of a cache that was destroyed. */
static void end(struct percpu__cache *cache)
{
	percpu_free(cache->cpu_caches);
	percpu__lock(&lock);
	put_handle(cache);
	percpu__unlock(&lock);
}

void percpu__cache_put_waiting(struct percpu__cache *cache, uint64_t nr)
{
	/* All that the others did to it comes before its end: pairs with percpu__cache_put_waiting. */
	if (__atomic_sub_fetch(&cache->nr_waiting, nr, __ATOMIC_ACQ_REL) == PERCPU__ENDS_LAST)
		end(cache);
}

int percpu_cache_destroy(struct percpu_cache *handle)
{
	struct percpu__cache *cache = live(handle, "percpu_cache_destroy");
	struct percpu__slab *slabs;

	percpu__lock(&lock);
	percpu__lock(&cache->lock);
	drain(cache, true);
	if (has_live_objects(cache)) {
		percpu__unlock(&cache->lock);
		percpu__unlock(&lock);
		return -EBUSY;
	}
	slabs = percpu__slabs_take_all_empty(cache);
	cache->state = PERCPU__CACHE_DESTROYED;
	cache->pub.magazines = cache->pub.own_magazines = stopped_magazines;
	cache->pub.inverse = 0;
	unlist(cache);
	percpu__unlock(&cache->lock);
	percpu__unlock(&lock);

	percpu__slabs_release(cache, slabs, true);
	/* In a child there may be slabs whose calls never come, and all that is theirs stays; or they do, and the last one ends it. */
	if (__atomic_fetch_add(&cache->nr_waiting, PERCPU__ENDS_LAST + 1, __ATOMIC_RELAXED) && percpu__rcu_can_call())
		percpu__rcu_drain(cache->rcu);
	percpu__cache_put_waiting(cache, 1);
	return 0;
}

/* ---- statistics ---- */

/* Takes less puts are known from the list's length, takes and puts from its count. H. */
static uint64_t hits_of(const struct percpu__cpu_cache *cpu_cache)
{
	const uint64_t word = __atomic_load_n(&cpu_cache->magazine.word, __ATOMIC_RELAXED);
	const uint64_t twice = (word >> 16) - word % 65536 - cpu_cache->nr_drained;

	return (twice & ((UINT64_C(1) << 48) - 1)) / 2 - cpu_cache->nr_flushed;
}

static size_t nr_in_slabs(const struct percpu__cpu_cache *cpu_cache)
{
	size_t nr = 0;

	for (const struct percpu__slab *slab = cpu_cache->partial.first; slab; slab = slab->next)
		nr += slab->nr_free;
	for (const struct percpu__slab *slab = cpu_cache->empty.first; slab; slab = slab->next)
		nr += slab->nr_free;
	return nr;
}

/* Adds up one home, but for nr_objects, from which the free ones are yet to be taken. */
static void add_cpu_cache(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache, struct percpu_cache_stats *stats)
{
	const int node = percpu__copy_node(cpu_cache->copy);
	size_t bytes;

	percpu__lock(&cpu_cache->lock);
	bytes = cpu_cache->nr_slabs * (PERCPU__ARENA_UNIT << cache->order);
	stats->nr_homes++;
	stats->nr_slabs += cpu_cache->nr_slabs;
	stats->nr_empty_slabs += cpu_cache->empty.nr;
	stats->nr_objects += cpu_cache->nr_slabs * cache->nr_per_slab - nr_in_slabs(cpu_cache);
	stats->nr_free += cpu_cache->depot.nr + __atomic_load_n(&cpu_cache->magazine.word, __ATOMIC_RELAXED) % 65536 +
			  (__atomic_load_n(&cpu_cache->remote, __ATOMIC_RELAXED) & PERCPU__REMOTE_MAX);
	for (unsigned i = 0; i < cache->nr_batches; i++)
		stats->nr_free += __atomic_load_n(&cpu_cache->remote_batch[i].head.nr, __ATOMIC_RELAXED);
	stats->nr_hits += hits_of(cpu_cache);
	stats->slabs_bytes += bytes;
	stats->node_bytes[node < 0 ? 0 : node % PERCPU_CACHE_NODES] += bytes;
	percpu__unlock(&cpu_cache->lock);
}

int percpu_cache_stats(struct percpu_cache *handle, struct percpu_cache_stats *out)
{
	struct percpu__cache *cache = live(handle, "percpu_cache_stats");
	struct percpu_cache_stats stats = { .size = 0 };
	size_t size = out ? out->size : 0;

	if (size < offsetof(struct percpu_cache_stats, nr_objects))
		return -EINVAL;
	percpu__lock(&cache->lock);
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache; cpu_cache = cpu_cache->next_used)
		add_cpu_cache(cache, cpu_cache, &stats);
	percpu__unlock(&cache->lock);
	/* Read home after home, it may count an object as free twice that moved meanwhile. */
	stats.nr_objects -= stats.nr_free < stats.nr_objects ? stats.nr_free : stats.nr_objects;
	stats.object_bytes = cache->object_bytes;
	stats.slab_bytes = PERCPU__ARENA_UNIT << cache->order;
	if (stats.nr_homes) { /* else nobody's copy is looked at, which maps page tables */
		stats.nr_refills = percpu_sum(&cache->cpu_caches->nr_refills);
		stats.nr_remote_frees = percpu_sum(&cache->cpu_caches->nr_remote_frees);
		stats.nr_batches = percpu_sum(&cache->cpu_caches->nr_pushes);
	}
	stats.nr_returned_slabs = __atomic_load_n(&cache->nr_returned, __ATOMIC_RELAXED);
	stats.batch_max = cache->remote_batches ? cache->batch_limit : 1;
	if (size > sizeof(stats))
		size = sizeof(stats);
	stats.size = size;
	memcpy(out, &stats, size);
	return 0;
}
