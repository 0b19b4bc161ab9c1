/* SPDX-License-Identifier: MIT */
/*
 * Owns CPU caches: one copy of a cache for each CPU, and the fallback copy. A copy becomes ready
 * when it is first used. Its magazine and remote batches are started on its CPU's slow path; other
 * CPUs stop them to take their objects, as do fork, shrink and destroy.
 */
#include "cache/cpu_cache.h"

/* ---- copies ---- */

static struct percpu__cpu_cache *make_ready(struct percpu__cache *cache,
					    struct percpu__cpu_cache *cpu_cache, unsigned copy)
{
	percpu__lock(&cache->lock);
	if (!cpu_cache->ready) {
		percpu__lock_init(&cpu_cache->lock, PERCPU__RANK_CPU_CACHE);
		percpu__lock_made_in_fork(&cpu_cache->lock, &cache->lock);
		cpu_cache->copy = copy;
		cpu_cache->next_used = cache->used;
		/* pairs with percpu__cpu_cache_at */
		__atomic_store_n(&cpu_cache->ready, true, __ATOMIC_RELEASE);
		/* pairs with percpu__remote_batches_any */
		__atomic_store_n(&cache->used, cpu_cache, __ATOMIC_RELEASE);
	}
	percpu__unlock(&cache->lock);
	return cpu_cache;
}

struct percpu__cpu_cache *percpu__cpu_cache_at(struct percpu__cache *cache, unsigned copy)
{
	struct percpu__cpu_cache *cpu_cache = percpu_ptr(cache->cpu_caches, copy);

	/* pairs with make_ready */
	return percpu__likely(__atomic_load_n(&cpu_cache->ready, __ATOMIC_ACQUIRE))
		       ? cpu_cache
		       : make_ready(cache, cpu_cache, copy);
}

struct percpu__cpu_cache *percpu__cpu_cache_here(struct percpu__cache *cache)
{
	return percpu__cpu_cache_at(cache, percpu_this_cpu());
}

void percpu__cpu_caches_lock(struct percpu__cache *cache)
{
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache;
	     cpu_cache = cpu_cache->next_used)
		percpu__lock_nested(&cpu_cache->lock);
}

void percpu__cpu_caches_unlock(struct percpu__cache *cache)
{
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache;
	     cpu_cache = cpu_cache->next_used)
		percpu__unlock(&cpu_cache->lock);
}

void percpu__cpu_caches_lock_for_fork(struct percpu__cache *cache)
{
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache;
	     cpu_cache = cpu_cache->next_used)
		percpu__lock_for_fork(&cpu_cache->lock);
}

void percpu__cpu_caches_unlock_after_fork(struct percpu__cache *cache)
{
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache;
	     cpu_cache = cpu_cache->next_used)
		percpu__unlock_after_fork(&cpu_cache->lock);
}

/* ---- start and stop ---- */

void percpu__remote_batches_set_limit(struct percpu__cache *cache,
				      struct percpu__cpu_cache *cpu_cache, uint32_t limit)
{
	for (unsigned i = 0; i < cache->nr_batches; i++)
		/* pairs with percpu__stack_push */
		__atomic_store_n(&cpu_cache->remote_batch[i].head.limit, limit, __ATOMIC_RELEASE);
}

/*
 * Critical sections load a limit or `magazines` first, so one that sees them started also sees the
 * changes that were made while they were stopped. The release pairs with percpu__cache_take.
 */
static void set_magazines(struct percpu__cache *cache, bool started)
{
	char *const magazines =
		started ? (char *)(uintptr_t)cache->cpu_caches : cache->stopped_magazines;

	__atomic_store_n(&cache->pub.own_magazines, magazines, __ATOMIC_RELEASE);
	if (cache->inlines)
		__atomic_store_n(&cache->pub.magazines, magazines, __ATOMIC_RELEASE);
}

static bool is_started(const struct percpu__cache *cache, const struct percpu__cpu_cache *cpu_cache)
{
	return __atomic_load_n(&cache->pub.own_magazines, __ATOMIC_RELAXED) !=
		       cache->stopped_magazines &&
	       __atomic_load_n(&cpu_cache->magazine.limit, __ATOMIC_RELAXED) &&
	       (!cache->remote_batches ||
		__atomic_load_n(&cpu_cache->remote_batch[0].head.limit, __ATOMIC_RELAXED));
}

void percpu__magazine_start(struct percpu__cache *cache, struct percpu__cpu_cache *cpu_cache)
{
	if (percpu__likely(is_started(cache, cpu_cache)) || !percpu__has_sections(cache, cpu_cache))
		return;
	percpu__lock(&cache->lock);
	if (percpu__likely(!percpu__is_locked_for_fork(&cache->lock))) { /* else it stays stopped */
		__atomic_store_n(&cpu_cache->magazine.limit, cache->magazine_limit,
				 __ATOMIC_RELAXED);
		if (cache->remote_batches)
			percpu__remote_batches_set_limit(cache, cpu_cache, cache->batch_limit);
		set_magazines(cache, true);
	}
	percpu__unlock(&cache->lock);
}

void percpu__magazines_stop(struct percpu__cache *cache)
{
	if (!cache->fences)
		return;
	set_magazines(cache, false);
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache;
	     cpu_cache = cpu_cache->next_used)
		percpu__remote_batches_set_limit(cache, cpu_cache, 0);
}

bool percpu__magazines_stopped(struct percpu__cache *cache)
{
	/*
	 * If membarrier begins to fail (a new seccomp filter), never touch another CPU's magazine
	 * again.
	 */
	if (cache->fences && cache->used && !percpu__fence())
		cache->fences = false;
	return cache->fences;
}

/* ---- stopped magazines ---- */

void percpu__magazine_take_all(const struct percpu__cache *cache,
			       struct percpu__cpu_cache *cpu_cache, struct percpu__free_list *list)
{
	const uint64_t word = cpu_cache->magazine.word, nr = percpu__magazine_nr(word);

	for (uint64_t i = 0; i < nr; i++) {
		percpu__take_over(cpu_cache->magazine.slot[i]);
		percpu__free_list_push(cache, list, cpu_cache->magazine.slot[i]);
	}
	__atomic_store_n(&cpu_cache->magazine.word, word - nr, __ATOMIC_RELAXED);
	cpu_cache->nr_drained += nr;
}

void percpu__magazines_forget(struct percpu__cache *cache)
{
	for (struct percpu__cpu_cache *cpu_cache = cache->used; cpu_cache;
	     cpu_cache = cpu_cache->next_used) {
		const uint64_t nr = percpu__magazine_nr(cpu_cache->magazine.word);

		cpu_cache->magazine.word -= nr;
		cpu_cache->nr_drained += nr;
	}
}
