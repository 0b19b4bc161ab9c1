/* SPDX-License-Identifier: MIT */
/* Pools: chunks with a policy and a limit of their own. NULL stands for the default pool. */
#ifndef PERCPU_POOL_H
#define PERCPU_POOL_H

#include <percpu/alloc.h>

#ifdef __cplusplus
extern "C" {
#endif

struct percpu_pool;

/* Values of the switches of an attribute: zero leaves the choice to the library and its options. */
enum percpu_switch { PERCPU_DEFAULT = 0, PERCPU_ON = 1, PERCPU_OFF = 2 };

/*
 * Set size to sizeof(struct percpu_pool_attr): a program built against an older, smaller struct gets
 * defaults for the rest. Unknown bytes that are not zero are refused with EINVAL.
 */
struct percpu_pool_attr {
	size_t size;
	uint32_t huge_pages;  /* enum percpu_switch; default off */
	uint32_t populate;    /* enum percpu_switch; on: pages of every possible CPU at once; default: on first touch */
	uint32_t node_policy; /* enum percpu_switch; default on */
	uint32_t published;   /* enum percpu_switch; on: other processes can read it: <percpu/publish.h>; default off */
	size_t limit_bytes;   /* of live areas, per CPU, rounded up to granules; 0: none, or 4 MiB if published */
	size_t keep_bytes;    /* of idle pages of each copy that stay, however long they are idle; 0: as PERCPU_OPTIONS
				 says, or none */
	size_t decay_ms;      /* milliseconds after which idle memory has gone back; 0: as PERCPU_OPTIONS says, or 3000 */
};
#define PERCPU_POOL_ATTR_INIT { sizeof(struct percpu_pool_attr), 0, 0, 0, 0, 0, 0, 0 }
#define PERCPU_POOL_DECAY_NEVER ((size_t)-1) /* of decay_ms */

/*
 * percpu_pool_create - attr may be NULL. The name is copied; NULL is "".
 * Returns: a pool, or NULL with errno: EINVAL (attr), ENOMEM; if published, also what memfd_create(2), ftruncate(2)
 * (EFBIG: RLIMIT_FSIZE) and fcntl(2) say.
 */
PERCPU_API struct percpu_pool *percpu_pool_create(const char *name, const struct percpu_pool_attr *attr);

/* Returns: 0; -EBUSY while allocations live; -EINVAL for the default pool (NULL); -EPERM where another process owns the published pool. */
PERCPU_API int percpu_pool_destroy(struct percpu_pool *pool);

/*
 * As percpu_alloc; ENOMEM also when the pool's limit would be passed, EPERM where another process owns the
 * published pool: then this one may update its copies, and its frees do nothing. Freed by percpu_free.
 */
PERCPU_API void __percpu *percpu_pool_alloc(struct percpu_pool *pool, size_t size, size_t align);

/*
 * percpu_trim - gives back fully free pages and chunks; NULL: of all pools.
 * Returns: bytes of address space purged or unmapped, summed over copies; -errno.
 */
PERCPU_API ssize_t percpu_trim(struct percpu_pool *pool);

/* Bytes unless the name says otherwise. "unit": counted in one copy; multiply by copies for all. */
struct percpu_pool_stats {
	size_t size;                /* in: sizeof(struct percpu_pool_stats) */
	size_t nr_chunks;
	size_t nr_live;             /* allocations; this and the next to within what CPUs do meanwhile */
	size_t live_bytes;          /* of live areas, in one unit, rounded to granules */
	size_t used_page_bytes;     /* pages of one unit that hold a live area */
	size_t held_page_bytes;     /* pages of one unit written since they were fresh or purged */
	size_t reserved_bytes;      /* address space of all chunks */
	size_t bookkeeping_bytes;   /* the library's own, resident */
	size_t cached_bytes;        /* freed areas kept ready per CPU, in one unit */
	size_t purged_bytes;        /* given back so far, all copies */
	size_t nr_chunks_unplaced;  /* chunks whose node policy was refused, over the budget of mappings, or not
				       known yet when they were made, before libnuma's constructor */
	size_t nr_chunks_huge;      /* chunks advised to use huge pages */
	size_t limit_bytes;         /* as in the attribute; 0: none */
};

/*
 * Returns: 0; -EINVAL (out NULL or out->size too small to be any version); -ENOMEM (there is no default pool yet, and no
 * memory for it). NULL: the default pool.
 */
PERCPU_API int percpu_pool_stats(struct percpu_pool *pool, struct percpu_pool_stats *out);

/*
 * percpu_pool_misplaced - looks where the pages are. Each costs the kernel some 100 ns. The fallback copy belongs
 * nowhere, and so does that of a CPU whose node is not known.
 * Returns: bytes of copies that lie on another node than the nearest to their CPU that has memory, because that one
 * was full or the chunk is unplaced; 0 on a machine of one node; -errno where the kernel does not say; -ENOMEM as above.
 */
PERCPU_API ssize_t percpu_pool_misplaced(struct percpu_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
