/* SPDX-License-Identifier: MIT */
/* Pools: chunks with a policy and a limit of their own. NULL stands for the default pool. */
#ifndef PERCPU_POOL_H
#define PERCPU_POOL_H

#include <percpu/abi/pool.h>
#include <percpu/alloc.h>

#ifdef __cplusplus
extern "C" {
#endif

struct percpu_pool;

/*
 * percpu_pool_create - attr may be NULL. The name is copied; NULL is "".
 * Returns: a pool, or NULL with errno: EINVAL (attr), ENOMEM; if published, also what
 * memfd_create(2), ftruncate(2) (EFBIG: RLIMIT_FSIZE) and fcntl(2) say.
 */
PERCPU_API struct percpu_pool *percpu_pool_create(const char *name,
						  const struct percpu_pool_attr *attr);

/*
 * Returns: 0; -EBUSY while allocations live; -EINVAL for the default pool (NULL); -EPERM where
 * another process owns the published pool.
 */
PERCPU_API int percpu_pool_destroy(struct percpu_pool *pool);

/*
 * As percpu_alloc; ENOMEM also when the pool's limit would be passed, EPERM where another process
 * owns the published pool: then this one may update its copies, and its frees do
 * nothing. Freed by percpu_free.
 */
PERCPU_API void __percpu *percpu_pool_alloc(struct percpu_pool *pool, size_t size, size_t align);

/*
 * percpu_trim - gives back fully free pages and chunks; NULL: of all pools.
 * Returns: bytes of address space purged or unmapped, summed over copies; -errno.
 */
PERCPU_API ssize_t percpu_trim(struct percpu_pool *pool);

/*
 * Returns: 0; -EINVAL (out NULL or out->size too small to be any version); -ENOMEM (there is no
 * default pool yet, and no memory for it). NULL: the default pool.
 */
PERCPU_API int percpu_pool_stats(struct percpu_pool *pool, struct percpu_pool_stats *out);

/*
 * percpu_pool_misplaced - looks where the pages are. Each costs the kernel some 100 ns. The
 * fallback copy belongs nowhere, and so does that of a CPU whose node is not known.
 * Returns: bytes of copies that lie on another node than the nearest to their CPU that has memory,
 * because that one was full or the chunk is unplaced; 0 on a machine of one node; -errno where the
 * kernel does not say; -ENOMEM as above.
 */
PERCPU_API ssize_t percpu_pool_misplaced(struct percpu_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
