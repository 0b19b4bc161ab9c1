/* SPDX-License-Identifier: MIT */
/* Owns the life of a cache: its attributes, create, shrink and destroy. */
#include <errno.h>
#include <string.h>

#include "cache/age.h"
#include "cache/cpu_cache.h"
#include "cache/depot.h"
#include "cache/flow.h"
#include "cache/fork.h"
#include "cache/geometry.h"
#include "cache/invariants.h"
#include "cache/rcu.h"
#include "cache/registry.h"

static char *stopped_magazines; /* per-CPU pointer: magazines that are never started; caches lock */

/* ---- attributes ---- */

static bool is_valid_request(size_t size, size_t align, unsigned flags, void (*ctor)(void *),
			     const struct percpu_cache_attr *attr)
{
	const unsigned known =
		PERCPU_CACHE_LINE_ALIGN | PERCPU_CACHE_ZERO | PERCPU_CACHE_TYPESAFE_BY_RCU;
	const bool rcu = flags & PERCPU_CACHE_TYPESAFE_BY_RCU;

	if (size < PERCPU_CACHE_MIN_SIZE || size > PERCPU_CACHE_MAX_SIZE || (align & (align - 1)) ||
	    align > PERCPU_MAX_ALIGN || (flags & ~known))
		return false;
	if ((flags & PERCPU_CACHE_ZERO) && (ctor || rcu))
		return false;
	return rcu == !!attr->flavor;
}

/* Returns: true if the attributes are valid. */
static bool read_attr(const struct percpu_cache_attr *given, struct percpu_cache_attr *attr)
{
	*attr = (struct percpu_cache_attr)PERCPU_CACHE_ATTR_INIT;
	return percpu__attr_read(given, attr, sizeof(*attr),
				 offsetof(struct percpu_cache_attr, keep_bytes));
}

static void set_age(struct percpu__cache *cache, const struct percpu_cache_attr *attr)
{
	const struct percpu__options options = percpu__options(false);
	const uint64_t decay_ms =
		attr->decay_ms == PERCPU_CACHE_DECAY_NEVER ? UINT64_MAX : attr->decay_ms;

	percpu__age_init(cache, decay_ms ? decay_ms : options.decay_ms,
			 attr->keep_bytes ? attr->keep_bytes : options.keep_bytes);
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
	percpu__caches_lock();
	/* Not by percpu_alloc: they are never freed, which it would report as a leak. */
	if (!stopped_magazines && pool)
		stopped_magazines = percpu__untyped(
			percpu__pool_take_zeroed(pool, PERCPU__LINE_BYTES / PERCPU__GRANULE,
						 PERCPU__LINE_BYTES / PERCPU__GRANULE));
	ready = stopped_magazines;
	percpu__caches_unlock();
	return ready;
}

struct percpu_cache *percpu_cache_create_layout(unsigned layout, const char *name, size_t size,
						size_t align, unsigned flags,
						void (*ctor)(void *object),
						const struct percpu_cache_attr *given)
{
	const uint8_t nr_batches = percpu__geometry_batches(percpu_nr_cpus());
	struct percpu__cpu_cache __percpu *cpu_caches;
	struct percpu_cache_attr attr;
	struct percpu__cache *cache;

	if (!read_attr(given, &attr) || !is_valid_request(size, align, flags, ctor, &attr)) {
		errno = EINVAL;
		return NULL;
	}
	if (layout > PERCPU_CACHE_LAYOUT ||
	    ((flags & PERCPU_CACHE_TYPESAFE_BY_RCU) && !percpu__rcu_known())) {
		errno = ENOTSUP;
		return NULL;
	}
	cpu_caches = prepare()
			     ? percpu_alloc(percpu__cpu_cache_bytes(nr_batches), PERCPU__LINE_BYTES)
			     : NULL;
	if (!cpu_caches)
		goto no_memory;
	percpu__caches_lock();
	cache = percpu__handle_take();
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
	percpu__geometry_set(cache, size, align < 8 ? 8 : align);
	set_age(cache, &attr);
	/*
	 * Inline operations neither zero objects nor know links that are not at the start of an
	 * object.
	 */
	cache->inlines = layout == PERCPU_CACHE_LAYOUT && cache->sections && !cache->zero_bytes &&
			 !cache->link_bytes;
	cache->stopped_magazines = stopped_magazines;
	/* The first slow path starts them. */
	cache->pub.magazines = cache->pub.own_magazines = stopped_magazines;
	cache->pub.beyond = UINT64_C(1) << 62;
	cache->pub.slabs = (const struct percpu__slab_id *)percpu__arena.slabs;
	cache->pub.mask = percpu__arena.mask * sizeof(struct percpu__slab_id);
	cache->pub.inverse = cache->inlines ? cache->inverse : 0;
	cache->pub.size = size;
	percpu__caches_add(cache);
	percpu__caches_unlock();
	return &cache->pub;
unlock:
	percpu__caches_unlock();
	percpu_free(cpu_caches);
no_memory:
	errno = ENOMEM;
	return NULL;
}

/* ---- shrink, destroy ---- */

static void drain(struct percpu__cache *cache, bool alone)
{
	percpu__magazines_stop(cache);
	percpu__magazines_stopped(cache);
	percpu__flow_drain_all(cache, alone);
	percpu_assert(!(alone || cache->fences || !cache->sections) ||
		      percpu__cache_check_invariants(cache));
}

ssize_t percpu_cache_shrink(struct percpu_cache *handle)
{
	struct percpu__cache *cache = percpu__live_cache(handle, "percpu_cache_shrink");
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
	for (const struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache;
	     cpu_cache = cpu_cache->next_used)
		if (cpu_cache->nr_slabs != cpu_cache->empty.nr)
			return true;
	return false;
}

int percpu_cache_destroy(struct percpu_cache *handle)
{
	struct percpu__cache *cache = percpu__live_cache(handle, "percpu_cache_destroy");
	struct percpu__slab *slabs;

	percpu__caches_lock();
	percpu__lock(&cache->lock);
	drain(cache, true);
	if (has_live_objects(cache)) {
		percpu__unlock(&cache->lock);
		percpu__caches_unlock();
		return -EBUSY;
	}
	slabs = percpu__slabs_take_all_empty(cache);
	cache->state = PERCPU__CACHE_DESTROYED;
	cache->pub.magazines = cache->pub.own_magazines = stopped_magazines;
	cache->pub.inverse = 0;
	percpu__caches_remove(cache);
	percpu__unlock(&cache->lock);
	percpu__caches_unlock();

	percpu__slabs_release(cache, slabs, true);
	/*
	 * The last slab to leave its grace period frees the handle. In a child callbacks may never
	 * run: then slabs and handle stay.
	 */
	if (__atomic_fetch_add(&cache->nr_waiting, PERCPU__ENDS_LAST + 1, __ATOMIC_RELAXED) &&
	    percpu__rcu_can_call())
		percpu__rcu_drain(cache->rcu);
	percpu__cache_put_waiting(cache, 1);
	return 0;
}
