/* SPDX-License-Identifier: MIT */
/*
 * Owns creation and destruction of pools: the attributes, the default pool, percpu_pool_create and
 * percpu_pool_destroy.
 */
#include <errno.h>
#include <string.h>

#include "percpu/percpu.h"

static struct percpu_pool default_pool;
static bool default_ready; /* registry lock; the release pairs with percpu__pool_default */

static int init(struct percpu_pool *pool, const char *name, const struct percpu_pool_attr *attr)
{
	const int error = percpu__pool_init(pool, name, attr, PERCPU__RANK_POOL);

	if (!error)
		percpu__pool_age_init(pool, attr);
	return error;
}

struct percpu_pool *percpu__pool_default(void)
{
	static const struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;

	if (percpu__likely(__atomic_load_n(&default_ready, __ATOMIC_ACQUIRE)))
		return &default_pool;
	percpu__fork_init();
	percpu__start();
	percpu__debug_on(); /* reads the environment before the lock is taken */
	percpu__pools_lock();
	if (!default_ready && init(&default_pool, "default", &attr) == 0) {
		default_pool.has_area_cache = percpu_mode() == PERCPU_MODE_RSEQ &&
					      !percpu__debug_on() && percpu__fence_ready();
		percpu__pools_enter(&default_pool);
		__atomic_store_n(&default_ready, true, __ATOMIC_RELEASE);
	}
	percpu__pools_unlock();
	return default_ready ? &default_pool : NULL;
}

struct percpu_pool *percpu__pool_or_default(struct percpu_pool *pool)
{
	return pool ? pool : percpu__pool_default();
}

bool percpu__attr_read(const void *given, void *attr, size_t known, size_t least)
{
	size_t size;

	if (!given)
		return true;
	memcpy(&size, given, sizeof(size));
	if (size < least || size > PERCPU_STRIDE)
		return false;
	for (size_t i = known; i < size; i++)
		if (((const char *)given)[i])
			return false;
	memcpy(attr, given, size < known ? size : known);
	return true;
}

/* Returns: true if the attributes are valid. */
static bool read_attr(const struct percpu_pool_attr *given, struct percpu_pool_attr *attr)
{
	*attr = (struct percpu_pool_attr)PERCPU_POOL_ATTR_INIT;
	return percpu__attr_read(given, attr, sizeof(*attr),
				 offsetof(struct percpu_pool_attr, limit_bytes)) &&
	       attr->huge_pages <= PERCPU_OFF && attr->populate <= PERCPU_OFF &&
	       attr->node_policy <= PERCPU_OFF && attr->published <= PERCPU_OFF;
}

/* Returns: bytes of the pool's mapping, which holds the name behind the pool. */
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
	error = init(pool, (const char *)(pool + 1), &attr);
	if (error)
		goto release;
	if (attr.published == PERCPU_ON) {
		pool->backing = &percpu__backing_memfd;
		pool->huge = false; /* for shared memory, a setting of the system decides */
		error = percpu__shared_create(&pool->shared, name, attr.limit_bytes,
					      percpu__chunk_reservation_bytes());
	}
	if (error)
		goto release_chunk_index;
	percpu__pools_lock();
	percpu__pools_enter(pool);
	percpu__pools_unlock();
	return pool;
release_chunk_index:
	percpu__pool_fini(pool);
release:
	percpu__release(pool, pool_bytes(name));
fail:
	errno = -error;
	return NULL;
}

int percpu_pool_destroy(struct percpu_pool *pool)
{
	int error;

	if (!pool)
		return -EINVAL;
	percpu__pools_lock();
	if (!percpu__pools_contain(pool) || pool == &default_pool) {
		percpu__pools_unlock();
		return -EINVAL;
	}
	error = percpu__pool_own(pool);
	percpu__lock(&pool->lock);
	percpu_assert(percpu__pool_is_valid(pool));
	if (pool->chunk_index.nr_live || error) {
		error = pool->chunk_index.nr_live ? -EBUSY : error;
		percpu__unlock(&pool->lock);
		percpu__pools_unlock();
		return error;
	}
	if (pool->shared)
		percpu__shared_disown(pool->shared);
	percpu__pools_remove(pool);
	percpu__chunk_index_for_each(&pool->chunk_index, slot)
		percpu__pool_drop(pool, percpu__pool_chunk(pool, slot));
	percpu__unlock(&pool->lock);
	percpu__pools_unlock();
	if (pool->shared)
		percpu__shared_destroy(pool->shared);
	percpu__pool_fini(pool);
	percpu__gone_put(pool, pool_bytes(pool->name), &pool->gone, false);
	return 0;
}
