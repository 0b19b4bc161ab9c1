/* SPDX-License-Identifier: MIT */
/*
 * Owns what a fork does to caches. The kernel copies page after page while other threads run, so no
 * cache may be in the middle of a change: the forking thread takes all locks, which a thread holds
 * while it pushes links, and stops all magazines and remote batches, which keeps critical sections
 * out. Fork handlers of the program that run in between (src/percpu/fork.c) find them stopped, and
 * leave them so.
 */
#include "cache/fork.h"

#include "cache/cpu_cache.h"
#include "cache/registry.h"

#include <percpu/static.h>

static void lock_cache(struct percpu__cache *cache)
{
	percpu__lock_for_fork(&cache->lock);
	percpu__magazines_stop(cache);
}

static void fence(struct percpu__cache *cache)
{
	percpu__magazines_stopped(cache);
}

static void unlock_cache(struct percpu__cache *cache)
{
	percpu__cpu_caches_unlock_after_fork(cache);
	percpu__unlock_after_fork(&cache->lock);
}

static void before(void)
{
	percpu__caches_lock_for_fork();
	percpu__caches_visit(lock_cache);
	percpu__caches_visit(percpu__cpu_caches_lock_for_fork);
	percpu__arena_lock_for_fork();
	percpu__caches_visit(fence);
}

static void after(void)
{
	percpu__arena_unlock_after_fork();
	percpu__caches_visit(unlock_cache);
	percpu__caches_unlock_after_fork();
}

static void forget_magazines(struct percpu__cache *cache)
{
	if (cache->sections && !cache->fences)
		percpu__magazines_forget(cache);
}

static void after_in_child(void)
{
	percpu__caches_visit(forget_magazines);
	after();
}

static void init(void)
{
	/* First: the prepare handler registered last runs first, and takes the outer locks. */
	percpu__fork_init();
	pthread_atfork(before, after, after_in_child);
}

__attribute__((constructor(PERCPU__STATIC_PRIORITY))) void percpu__cache_fork_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init);
}
