/* SPDX-License-Identifier: MIT */
/*
 * Owns the fork handlers of this layer. The forking thread takes every lock, lowest rank first, and
 * stops the area cache: the kernel copies page after page while other threads run, so the child
 * would otherwise see half of a critical section. The child has only the forking thread, and
 * private copies of all chunks that are not published. Parent and child start the area cache again
 * when they next need it.
 *
 * Handlers that a program registers after these run outside of them, when no lock is held. Handlers
 * registered earlier, as by a program that loads this library later, run in between, in the forking
 * thread. They may allocate: the locks let that thread pass, the area cache stays stopped, and a
 * pool that they make is locked like the others.
 */
#include "percpu/area_cache.h"
#include "percpu/percpu.h"
#include "percpu/trace.h"

#include <percpu/static.h>

static bool is_area_cache_stopped; /* all locks; accessed by the forking thread only */

static void lock_pool(struct percpu_pool *pool, void *arg)
{
	percpu__lock_for_fork(&pool->lock);
	if (pool->has_area_cache)
		is_area_cache_stopped = percpu__area_cache_stop();
}

static void unlock_pool(struct percpu_pool *pool, void *arg)
{
	percpu__unlock_after_fork(&pool->lock);
}

static void before(void)
{
	percpu__static_lock_for_fork();
	percpu__pools_lock_for_fork();
	percpu__pools_visit(lock_pool, NULL);
	percpu__traces_lock_for_fork();
}

static void after(void)
{
	percpu__traces_unlock_after_fork();
	percpu__pools_visit(unlock_pool, NULL);
	percpu__pools_unlock_after_fork();
	percpu__static_unlock_after_fork();
}

static void after_in_child(void)
{
	percpu__lookups_forget();
	if (!is_area_cache_stopped)
		percpu__area_cache_forget();
	percpu__generation_forked(); /* so that this process owns no published pool */
	after();
}

static void init(void)
{
	pthread_atfork(before, after, after_in_child);
}

__attribute__((constructor(PERCPU__STATIC_PRIORITY))) void percpu__fork_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init);
}
