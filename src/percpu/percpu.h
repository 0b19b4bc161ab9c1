/* SPDX-License-Identifier: MIT */
/*
 * The layer of per-CPU memory. Who owns what:
 *
 *   pagemap.c which chunk an address belongs to
 *   chunk.c   one reservation: its units, their placement, its bookkeeping
 *   gone.c    what is left of a chunk that somebody may still look at
 *   shared.c  the file of a published pool (file.h), whose chunks lie in it
 *   present.c which copies have pages, where a look at the others would make them
 *   owner.c   which of the processes that share it changes it, and how the next one takes over
 *   copies.c  what is done to the same bytes of every copy: zero, poison, verify
 *   pool.c    chunks with a policy and a limit; taking areas and putting them back
 *   trim.c    when memory goes back to the kernel, and how
 *   area_cache.c  the freed areas that each CPU keeps, without a lock (area_cache.h)
 *   alloc.c   the public entries, and the verdict on a pointer given to free
 *   debug.c   PERCPU_OPTIONS check and leaks
 *   fork.c    what a fork finds and leaves
 *   static.c  per-CPU variables of modules
 *
 * Locks: a pool's lock guards its chunks, its chunk index and its counts. The registry lock guards the list
 * of pools. Neither is held while copies are zeroed.
 */
#ifndef PERCPU_PERCPU_LAYER_H
#define PERCPU_PERCPU_LAYER_H

#include "area/area.h"
#include "ops/ops.h"
#include "platform/platform.h"

#include <percpu/alloc.h>
#include <percpu/pool.h>

/* What is still mapped of a chunk that is in the index no more; gone.c. */
struct percpu__gone {
	struct percpu__gone *next;
	void *start;
	size_t bytes;
};

/*
 * chunk: | guard | cpu 0 | ... | cpu N-1 | fallback | fence page | struct percpu__chunk | tags |
 * Units are PERCPU_STRIDE bytes. The fence page keeps an overrun of the fallback unit out of what follows.
 */
struct percpu__chunk {
	struct percpu__area_map area_map; /* pool lock; sizes are read without it */
	struct percpu_pool *pool;     /* for ever */
	char *base;                   /* of the guard unit; for ever */
	size_t reserved_bytes;        /* for ever */
	uint32_t slot;                /* in the chunk index; constant */
	bool placed;                  /* every page comes from the node of its CPU; for ever */
	bool huge;                    /* may use huge pages; for ever */
	uint32_t nr_mappings;         /* that its node policy cost; for ever */
	uint32_t fresh;               /* granule from which no copy was ever written; pool lock */
	bool is_mapped;               /* most copies have page tables: no lock, a hint */
	uint64_t free_pages;          /* 4 KiB pages of a unit that hold no live area; pool lock */
	uint64_t dirty_pages;         /* those handed out since they were fresh or purged; pool lock */
	bool is_dear;                 /* a look at a copy that nobody touched makes its page; for ever */
	uint64_t *present;            /* pages that each copy is known to have; no lock, see present.c */
	uint64_t everywhere;          /* those that all copies have; no lock */
	struct percpu__gone gone;     /* at its end */
	struct percpu__area_bitmaps bitmaps;
};

/* What tells how old a pool's idle memory is, and what of it is to go; the times are those of percpu__now_ms. */
struct percpu__pool_age {
	uint64_t put_ms;                /* when somebody last freed where something was idle */
	uint64_t epoch_ms;              /* when the epoch began */
	size_t least_pages, least_empty; /* idle pages and chunks without a live area, the fewest since then */
	size_t due_pages, due_chunks;   /* of those of the epoch before, that are still to go */
	size_t stuck_pages;             /* due ones that did not go, the last time */
	size_t nr_unseen;               /* chunks still to be looked at for what is due */
	uint32_t slot;                  /* the next of them */
};

struct percpu_pool {
	struct percpu__lock lock;
	const char *name;
	bool huge, populate, node_policy; /* for ever */
	bool has_area_cache;                     /* CPUs keep freed areas of this pool ready; for ever */
	const struct percpu__backing *backing; /* where its memory comes from; immutable */
	struct percpu__shared *shared;    /* of the backing memfd, a published pool; NULL otherwise; immutable */
	size_t limit_granules;            /* SIZE_MAX: none; for ever */
	uint64_t epoch_ms;                /* half the time in which memory ages; UINT64_MAX: it does not; for ever */
	size_t kept_pages;                /* idle ones that stay however old they are; for ever */
	struct percpu__chunk_index chunk_index; /* this and all below but next: lock */
	size_t idle_pages;                /* free and dirty ones, over all chunks */
	struct percpu__pool_age age;
	size_t live_pages;                /* not free */
	size_t nr_empty;                  /* chunks without a live area */
	size_t nr_unplaced, nr_huge;      /* chunks */
	size_t purged_bytes;
	struct percpu_pool *next;         /* registry lock */
	struct percpu__gone gone;         /* after the pool was destroyed */
};

/* ---- pagemap.c ---- */

#define PERCPU__ADDRESS_BITS 48 /* user space of x86-64 and aarch64, unless a program asks for more by hint */
#define PERCPU__LEAF_BITS 16
#define PERCPU__ROOT_BITS (PERCPU__ADDRESS_BITS - PERCPU__LEAF_BITS - PERCPU_STRIDE_SHIFT)

struct percpu__leaf {
	struct percpu__chunk *chunk[1u << PERCPU__LEAF_BITS];
};
extern struct percpu__leaf *percpu__root[1u << PERCPU__ROOT_BITS];

/* Returns: the chunk that address lies in, guard unit to fallback unit; NULL. Needs no lock. */
static inline struct percpu__chunk *percpu__pagemap_find(uintptr_t address)
{
	const uintptr_t unit = address >> PERCPU_STRIDE_SHIFT;
	struct percpu__leaf *leaf;

	if (percpu__unlikely(address >> PERCPU__ADDRESS_BITS))
		return NULL;
	leaf = __atomic_load_n(&percpu__root[unit >> PERCPU__LEAF_BITS], __ATOMIC_ACQUIRE); /* pairs with make_leaf */
	if (percpu__unlikely(!leaf))
		return NULL;
	/* pairs with enter */
	return __atomic_load_n(&leaf->chunk[unit & ((1u << PERCPU__LEAF_BITS) - 1)], __ATOMIC_ACQUIRE);
}

/* Enters all units of a chunk. 0 or -ENOMEM. */
int percpu__pagemap_insert(struct percpu__chunk *chunk);
void percpu__pagemap_remove(struct percpu__chunk *chunk);

/* ---- gone.c ---- */

/*
 * Between the two nothing is unmapped that a look into the index finds. No lock, and nobody waits: signal handlers may.
 * Returns: what percpu__lookup_end wants.
 */
unsigned percpu__lookup_begin(void);
void percpu__lookup_end(unsigned which);

/* In a child there are no judges but the forking thread's, which has come to its end. */
void percpu__lookups_forget(void);

/*
 * Unmaps a range that no chunk in the index leads to any more, now or, while anybody judges, later. note: in the range.
 * may_stay: it may stay mapped, without its memory, until the next call.
 */
void percpu__gone_put(void *start, size_t bytes, struct percpu__gone *note, bool may_stay);

/* ---- chunk.c ---- */

/* Returns: an empty chunk under the pool's policy, in no chunk index and not in the pagemap; NULL: no memory. */
struct percpu__chunk *percpu__chunk_create(struct percpu_pool *pool);
void percpu__chunk_destroy(struct percpu__chunk *chunk);

static inline uintptr_t percpu__chunk_unit(const struct percpu__chunk *chunk, unsigned copy)
{
	return (uintptr_t)chunk->base + ((uintptr_t)copy + 1) * PERCPU_STRIDE;
}

/* Bytes of address space that a chunk takes, from its guard unit to its last tag. */
size_t percpu__chunk_reservation_bytes(void);

/* From a per-CPU pointer to its area's tag: as copies do, tags lie at the offsets of a unit. */
extern size_t percpu__tags_distance;

static inline uint64_t *percpu__tag_of(const void __percpu *p)
{
	return (uint64_t *)((uintptr_t)p + __atomic_load_n(&percpu__tags_distance, __ATOMIC_RELAXED));
}

/*
 * Gives back the tags of these pages of a unit, all of them free: but for the first of a free area, which may
 * be the first of a run of pages and stays, nothing reads them.
 */
void percpu__chunk_purge_tags(const struct percpu__chunk *chunk, uint64_t pages);

/* Bytes of copies in memory that do not lie where percpu__cpu_to_memory_node says. Or -errno. */
ssize_t percpu__chunk_misplaced_bytes(const struct percpu__chunk *chunk);

/* Resident bytes of what the chunk keeps for itself. */
size_t percpu__chunk_bookkeeping_bytes(const struct percpu__chunk *chunk);

/* ---- present.c ---- */

/* So few that looking at each is cheaper than asking the kernel about all. */
#define PERCPU__FEW_COPIES 16u
static inline bool percpu__copies_are_few(void)
{
	return percpu_abi.nr_copies <= PERCPU__FEW_COPIES;
}

/* Copies that a sum may look at as they are, whatever it sums: all, or 0 where it has to ask percpu__present_of. */
extern uint32_t percpu__plain_copies;
static inline uint32_t percpu__nr_plain_copies(void)
{
	return __atomic_load_n(&percpu__plain_copies, __ATOMIC_RELAXED);
}

/* Whether looks at copies of the pool's chunks are dear; sums know from now on. Before its chunk is made. */
bool percpu__looks_make_pages(const struct percpu_pool *pool);

/*
 * percpu__present_find - asks the kernel which copies have those pages of a unit, as far as it is not known.
 * Returns: whether chunk->present tells; false: all copies may be looked at. Every page holds a live area.
 */
bool percpu__present_find(struct percpu__chunk *chunk, uint64_t pages);

/* Which copies have the page of a pointer into a live area; the others read as zero. Async-signal-safe. */
struct percpu__present {
	const uint64_t *copies; /* NULL: all may be looked at */
	uint64_t page;
};
struct percpu__present percpu__present_asked(const void *p);

static inline struct percpu__present percpu__present_of(const void *p)
{
	return percpu__likely(percpu__nr_plain_copies()) ? (struct percpu__present){ .copies = NULL }
							  : percpu__present_asked(p);
}

static inline bool percpu__is_present(struct percpu__present present, unsigned copy)
{
	return !present.copies || (__atomic_load_n(&present.copies[copy], __ATOMIC_RELAXED) & present.page);
}

/* Those pages are about to be purged. Pool lock held. */
void percpu__present_forget(struct percpu__chunk *chunk, uint64_t pages);

/* ---- copies.c ---- */

/* An area as its owner sees it. */
struct percpu__area {
	struct percpu__chunk *chunk;
	uint32_t offset_bytes; /* in the unit */
	uint32_t bytes;
};

static inline void __percpu *percpu__area_pointer(struct percpu__area area)
{
	return (void __percpu *)(uintptr_t)(area.chunk->base + area.offset_bytes);
}

/* The area of a pointer that is known to be one. */
struct percpu__area percpu__area_of(const void __percpu *p);

/* A word of a user's object, whatever the object is. */
typedef uint64_t percpu__user_word __attribute__((may_alias));

/* Words of one page: writes only where there is something to clear, so that an untouched page stays so. */
static inline __attribute__((always_inline)) void percpu__zero_words(percpu__user_word *at, size_t nr)
{
	typedef uint64_t pair __attribute__((vector_size(16), aligned(8), may_alias));
	uint64_t any = 0;
	size_t i = 0;

	for (; i + 8 <= nr; i += 8) /* by words: a wider load would wait for the stores before it */
		any |= ((at[i] | at[i + 1]) | (at[i + 2] | at[i + 3])) |
		       ((at[i + 4] | at[i + 5]) | (at[i + 6] | at[i + 7]));
	for (; i < nr; i++)
		any |= at[i];
	if (!any)
		return;
	for (i = 0; i + 2 <= nr; i += 2) /* volatile: a call of memset costs more */
		*(volatile pair *)(at + i) = (pair){ 0, 0 };
	if (i < nr)
		*(volatile percpu__user_word *)(at + i) = 0;
}

static inline bool percpu__crosses_page(const void __percpu *p, uint32_t granules)
{
	return (uintptr_t)p / PERCPU__GRANULE % PERCPU__PAGE_GRANULES + granules > PERCPU__PAGE_GRANULES;
}

/* An area that crosses no 4 KiB boundary, few copies. */
static inline __attribute__((always_inline)) void percpu__copies_zero_few(void __percpu *p, size_t nr_words)
{
	percpu__user_word *copy = (percpu__user_word *)((uintptr_t)p + PERCPU_STRIDE);

	for (unsigned nr = percpu_abi.nr_copies; nr; nr--, copy += PERCPU_STRIDE / sizeof(*copy))
		percpu__zero_words(copy, nr_words);
}

/*
 * Makes nr areas read zero in every copy; commits no page for it where the kernel can tell.
 * Many areas of one chunk cost little more than one. areas is used up.
 */
void percpu__copies_zero(struct percpu__area *areas, unsigned nr);

/* The same for the one area of p. */
void percpu__copies_zero_one(void __percpu *p);

/* Fills the area with poison in every copy; aborts where a copy holds neither poison nor zero. */
void percpu__copies_poison(struct percpu__area area);
void percpu__copies_verify(struct percpu__area area);

/* ---- pool.c ---- */

/* Initialises a zeroed pool, which is on no list. attr: as read by percpu_pool_create. Returns: 0 or -ENOMEM. */
int percpu__pool_init(struct percpu_pool *pool, const char *name, const struct percpu_pool_attr *attr,
		      enum percpu__rank rank);

/* Releases what percpu__pool_init allocated. The pool has no chunks. */
void percpu__pool_fini(struct percpu_pool *pool);

/* The chunk in a slot of the pool's chunk index. */
static inline struct percpu__chunk *percpu__pool_chunk(const struct percpu_pool *pool, uint32_t slot)
{
	return (struct percpu__chunk *)percpu__chunk_index_at(&pool->chunk_index, slot);
}

/* Resident bytes of what the pool and its chunks keep for themselves. Context: the pool's lock is held. */
size_t percpu__pool_bookkeeping_bytes(const struct percpu_pool *pool);

/*
 * Taking areas, and putting them back; the caller holds the lock. *dirty tells whether a copy may hold
 * anything but zero. false: no memory, or over the limit.
 */
bool percpu__pool_take(struct percpu_pool *pool, uint32_t granules, uint32_t align_granules,
		       struct percpu__area *area, bool *dirty);

/*
 * Puts the area of p back. Aborts if p is freed twice at the same time.
 * Returns: true if the pool has idle memory, so that the caller calls percpu__trim_after_free.
 * Context: the pool's lock is held.
 */
bool percpu__pool_put(struct percpu_pool *pool, void __percpu *p);

/* Makes dirty areas ready for their next owner; no lock held. areas is used up. */
void percpu__pool_prepare(struct percpu__area *areas, unsigned nr);

/* One more chunk. */
bool percpu__pool_grow(struct percpu_pool *pool);

/*
 * Makes an area of granules [at, end) of a chunk; areas that lay there, wholly or in part, are none any more. After the last one, percpu__pool_claimed: copies may have been written
 * up to granule fresh.
 */
void percpu__pool_claim(struct percpu_pool *pool, struct percpu__chunk *chunk, uint32_t at, uint32_t end);
void percpu__pool_claimed(struct percpu_pool *pool, struct percpu__chunk *chunk, uint32_t fresh);

/* Taking one area, lock and zeroing included. NULL: no memory. */
void __percpu *percpu__pool_take_zeroed(struct percpu_pool *pool, uint32_t granules, uint32_t align_granules);

/* Takes an empty chunk out of the pool and gives its memory back; the caller holds the lock. */
void percpu__pool_drop(struct percpu_pool *pool, struct percpu__chunk *chunk);

/* Walks everything; the caller holds the lock. */
bool percpu__pool_is_valid(const struct percpu_pool *pool);

/* ---- trim.c ---- */

/* Sets how long memory of a new pool may be idle, and how many idle bytes of a unit always stay. */
void percpu__pool_age_init(struct percpu_pool *pool, const struct percpu_pool_attr *attr);

/* Purges some pages or destroys a chunk if their time has come. Context: the pool's lock is held. */
void percpu__trim_after_free(struct percpu_pool *pool);

/* Frees a live area of any pool, with all that belongs to a free but the area cache. Context: no lock is held. */
void percpu__pool_return(void __percpu *p);

/*
 * percpu__pools_age - if the time has come, looks at all pools for idle memory and gives some of it back
 * Context: no lock is held.
 */
void percpu__pools_age(uint64_t now_ms);

/* Gives all idle memory back at once. Returns: bytes. Context: the lock of the pool is held. */
size_t percpu__pool_trim(struct percpu_pool *pool);

/* ---- registry.c ---- */

/*
 * The pool that an address belongs to, which may be a published one whose owner has made a chunk that this process does
 * not know; NULL.
 */
struct percpu_pool *percpu__pool_of(uintptr_t address);

/* Calls visit for every pool of the registry, under the registry lock. */
void percpu__pools_visit(void (*visit)(struct percpu_pool *pool, void *arg), void *arg);
void percpu__pools_lock(void);
void percpu__pools_unlock(void);
void percpu__pools_lock_for_fork(void);
void percpu__pools_unlock_after_fork(void);

/* Context of these three: the registry lock is held. */
void percpu__pools_enter(struct percpu_pool *pool);
void percpu__pools_remove(struct percpu_pool *pool);
bool percpu__pools_contain(const struct percpu_pool *pool);

/* ---- create.c ---- */

/* The default pool, ready; NULL: no memory. Two loads once it is. */
struct percpu_pool *percpu__pool_default(void);

/* pool, or the default one for NULL. */
struct percpu_pool *percpu__pool_or_default(struct percpu_pool *pool);

/* ---- debug.c ---- */

/* Options and tools that watch allocations; false: the hooks of allocations are never called. */
bool percpu__debug_on(void);

/* A new allocation, zeroed; caller: the return address of the public entry. */
void percpu__debug_allocated(struct percpu__area area, const void *caller);

/* An allocation about to be freed, and one that is about to be handed out again, its copies as they are. */
void percpu__debug_freed(struct percpu__area area);
void percpu__debug_reused(struct percpu__area area);

/* A new chunk, and one that is about to be given back. */
void percpu__debug_chunk(const struct percpu__chunk *chunk, bool is_there);

void percpu__debug_lock_for_fork(void);
void percpu__debug_unlock_after_fork(void);

/* ---- fork.c ---- */

/* Registers the handlers, once: a constructor, or whoever needs a pool sooner. */
void percpu__fork_init(void);

/* ---- static.c ---- */

/* Frees the variables of modules that are gone. No lock held. */
void percpu__static_collect(void);

void percpu__static_lock_for_fork(void);
void percpu__static_unlock_after_fork(void);

#include "percpu/backing.h"

#endif
