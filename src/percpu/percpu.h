/* SPDX-License-Identifier: MIT */
/*
 * The layer of per-CPU memory. A file calls only files further down this table, apart from the
 * functions of a pool's backing (struct percpu__backing), which lower files call by pointer.
 *
 *	file			owns				what guards it
 *	version.c		the version as a string		constant
 *	alloc.c			the public alloc and free,	no state
 *				validation of pointers
 *	stats.c			statistics, percpu_trim		no state
 *	static.c		static per-CPU variables of	a hint, relaxed atomic
 *				modules
 *	create.c		creation and destruction of	registry lock
 *				pools, the default pool
 *	fork.c			the fork handlers		all locks, for the forking thread
 *	attachments.c, .h	the area of each module's	a lock of its own (rank STATIC)
 *				variables
 *	area_cache.c, .h	the freed areas that each CPU	the CPU's critical sections; start,
 *				keeps				stop and drain: default pool's lock
 *	trim.c			idle memory: its age, giving	pool lock; the clock that all pools
 *				it back				share is relaxed atomic
 *	registry.c		the list of pools		registry lock
 *	owner.c			the process that may change	pool lock, and a compare-and-swap in
 *				a published pool		the file
 *	shared.c, file.h	backing by a memfd, and the	pool lock, in the owner process
 *				layout of the file
 *	live_map.c		live areas, as the file		pool lock, in the owner process
 *				tells them to the next owner
 *	pool.c			chunks under one policy and	pool lock
 *				limit, their areas
 *	private.c		backing by private memory	no state
 *	chunk.c			one reservation: units,		pool lock; the budget of mappings is
 *				placement, metadata		relaxed atomic
 *	debug.c			options check and leaks,	written once, atomic
 *				sanitizers, Valgrind
 *	trace.c, .h		the allocations that leaks,	a lock of its own (rank DEBUG)
 *				sanitizers, Valgrind report
 *	copies.c		zeroing, poisoning, verifying	exclusive use of the area
 *				an area in every copy
 *	present.c		which copies have pages		atomics; to forget: pool lock
 *	pagemap.c		from an address to its chunk	atomics; to enter or remove a chunk:
 *								its pool's lock
 *	gone.c			memory to unmap once no lookup	atomics
 *				can read it
 *	percpu.h		the declarations of all of these, unless another header has them;
 *	backing.h		the declarations of private.c, shared.c, live_map.c and owner.c
 *
 * platform/lock.h has the order of locks. Neither the registry lock nor a pool's lock is held while
 * copies are zeroed, poisoned or verified.
 */
#ifndef PERCPU_PERCPU_LAYER_H
#define PERCPU_PERCPU_LAYER_H

#include "area/area.h"
#include "ops/ops.h"
#include "platform/platform.h"

#include <percpu/alloc.h>
#include <percpu/pool.h>

/* A range that gone.c unmaps once no lookup can read it. */
struct percpu__gone {
	struct percpu__gone *next;
	void *start;
	size_t bytes;
};

/*
 * chunk: | guard | cpu 0 | ... | cpu N-1 | fallback | fence page | struct percpu__chunk | tags |
 *
 * Units are PERCPU_STRIDE bytes. The fence page stops an overrun of the fallback unit. After the
 * tags there is one word for each copy, `present`.
 */
struct percpu__chunk {
	/* Written under the pool's lock; liveness and size of an area are read without it. */
	struct percpu__area_map area_map;

	/* Immutable once the chunk is in its pool. */
	struct percpu_pool *pool;
	char *base;              /* start of the guard unit */
	size_t reserved_bytes;
	uint32_t slot;           /* in the pool's chunk index */
	bool placed;             /* false: the node policy could not be set, first touch decides */
	bool huge;               /* huge pages are allowed in some part of the chunk */
	uint32_t nr_mappings;    /* charged to the budget for node policy */

	uint32_t fresh;          /* no copy was written from this granule on; pool lock */
	bool is_mapped;          /* a hint: many copies have page tables; relaxed atomic */
	uint64_t free_pages;     /* 4 KiB pages of a unit without a live area; pool lock */
	uint64_t dirty_pages;    /* handed out since they were fresh or purged; pool lock */
	bool reads_make_pages;   /* reading an untouched page allocates it; immutable */
	uint64_t *present;       /* [copy]: pages that the copy is known to have; see present.c */
	uint64_t everywhere;     /* pages that every copy is known to have; see present.c */
	struct percpu__gone gone; /* used by gone.c after the chunk has left the pagemap */
	struct percpu__area_bitmaps bitmaps; /* those of area_map */
};

/*
 * The age of a pool's idle memory, and how much of it is due to go back (trim.c). Guarded by the
 * pool's lock. Times are those of percpu__now_ms.
 */
struct percpu__pool_age {
	uint64_t put_ms;        /* the last free that left idle memory */
	uint64_t epoch_ms;      /* start of the current epoch */
	size_t least_pages;     /* fewest idle pages in this epoch, without those that are due */
	size_t least_empty;     /* fewest chunks without a live area, likewise */
	size_t due_pages;       /* idle pages still to go back */
	size_t due_chunks;      /* empty chunks still to go back */
	size_t stuck_pages;     /* due pages that could not go back the last time */
	size_t nr_unseen;       /* chunks to visit before this epoch's search ends */
	uint32_t slot;          /* the next chunk to visit */
};

struct percpu_pool {
	struct percpu__lock lock;

	/* Immutable once other threads know the pool. */
	const char *name;
	bool huge, populate, node_policy;
	bool has_area_cache;              /* CPUs keep freed areas of this pool */
	const struct percpu__backing *backing;
	struct percpu__shared *shared;    /* the memfd of a published pool; NULL otherwise */
	size_t limit_granules;            /* SIZE_MAX: no limit */
	uint64_t epoch_ms;                /* half the decay; UINT64_MAX: memory does not age */
	size_t kept_pages;                /* idle pages that stay, whatever their age */

	/* Guarded by `lock`. Pages are 4 KiB pages of a unit, summed over all chunks. */
	struct percpu__chunk_index chunk_index;
	size_t idle_pages;                /* free and dirty */
	struct percpu__pool_age age;
	size_t live_pages;                /* hold a live area, or a part of one */
	size_t nr_empty;                  /* chunks without a live area */
	size_t nr_unplaced, nr_huge;      /* chunks */
	size_t purged_bytes;              /* given back so far */

	struct percpu_pool *next;         /* in the list of pools; registry lock */
	struct percpu__gone gone;         /* used by gone.c after the pool is destroyed */
};

/* ---- pagemap.c ---- */

/* User space of x86-64 and aarch64; mmap() goes beyond it only at the request of a program. */
#define PERCPU__ADDRESS_BITS 48
#define PERCPU__LEAF_BITS 16
#define PERCPU__ROOT_BITS (PERCPU__ADDRESS_BITS - PERCPU__LEAF_BITS - PERCPU_STRIDE_SHIFT)

struct percpu__leaf {
	struct percpu__chunk *chunk[1u << PERCPU__LEAF_BITS];
};
extern struct percpu__leaf *percpu__root[1u << PERCPU__ROOT_BITS];

/*
 * Returns: the chunk whose guard unit, units or fallback unit contain the address; NULL if there is
 * none. Context: needs no lock.
 */
static inline struct percpu__chunk *percpu__pagemap_find(uintptr_t address)
{
	const uintptr_t unit = address >> PERCPU_STRIDE_SHIFT;
	struct percpu__leaf *leaf;

	if (percpu__unlikely(address >> PERCPU__ADDRESS_BITS))
		return NULL;
	/* pairs with make_leaf */
	leaf = __atomic_load_n(&percpu__root[unit >> PERCPU__LEAF_BITS], __ATOMIC_ACQUIRE);
	if (percpu__unlikely(!leaf))
		return NULL;
	/* pairs with enter */
	return __atomic_load_n(&leaf->chunk[unit & ((1u << PERCPU__LEAF_BITS) - 1)],
			       __ATOMIC_ACQUIRE);
}

/* Enters all units of a chunk. Returns: 0 or -ENOMEM. */
int percpu__pagemap_insert(struct percpu__chunk *chunk);

/* Removes all units of a chunk. */
void percpu__pagemap_remove(struct percpu__chunk *chunk);

/* ---- gone.c ---- */

/*
 * percpu__lookup_begin, percpu__lookup_end - bracket a lookup: metadata of a chunk that is found in
 * the pagemap in between stays mapped until the end.
 * Context: async-signal-safe; takes no lock and never waits.
 * percpu__lookup_begin returns the argument of percpu__lookup_end.
 */
unsigned percpu__lookup_begin(void);
void percpu__lookup_end(unsigned which);

/* Resets the counts of lookups in a child, which the parent's other threads left behind. */
void percpu__lookups_forget(void);

/*
 * percpu__gone_put - unmaps a range that the pagemap no longer leads to: now, or by a later call if
 * a lookup is in progress. note: lies in the range. may_stay: true if the range is to stay mapped,
 * without its memory, until the next call in any case.
 */
void percpu__gone_put(void *start, size_t bytes, struct percpu__gone *note, bool may_stay);

/* ---- chunk.c ---- */

/*
 * Returns: an empty chunk under the pool's policy, not yet in a chunk index or the pagemap; NULL if
 * there is no memory. Context: the pool's lock is held.
 */
struct percpu__chunk *percpu__chunk_create(struct percpu_pool *pool);

/* Gives back a chunk that has left the chunk index and the pagemap. Context: as its creation. */
void percpu__chunk_destroy(struct percpu__chunk *chunk);

/* Returns: the address of a copy's unit; for percpu_abi.nr_copies, the end of the last unit. */
static inline uintptr_t percpu__chunk_unit(const struct percpu__chunk *chunk, unsigned copy)
{
	return (uintptr_t)chunk->base + ((uintptr_t)copy + 1) * PERCPU_STRIDE;
}

/* Returns: bytes of address space that a chunk takes, from its guard unit to its metadata's end. */
size_t percpu__chunk_reservation_bytes(void);

/* From a per-CPU pointer to its tag, in bytes: like copies, tags lie at the offsets of a unit. */
extern size_t percpu__tags_distance;

static inline uint64_t *percpu__tag_of(const void __percpu *p)
{
	return (uint64_t *)((uintptr_t)p +
			    __atomic_load_n(&percpu__tags_distance, __ATOMIC_RELAXED));
}

/*
 * Purges the tags of free pages of a unit. The first tag of each run of pages stays, because it may
 * be the first tag of a free area, its node in a free list; the other tags are not read.
 */
void percpu__chunk_purge_tags(const struct percpu__chunk *chunk, uint64_t pages);

/* Returns: bytes of copies on another node than percpu__cpu_to_memory_node names; or -errno. */
ssize_t percpu__chunk_misplaced_bytes(const struct percpu__chunk *chunk);

/* Returns: resident bytes of the chunk's metadata. */
size_t percpu__chunk_bookkeeping_bytes(const struct percpu__chunk *chunk);

/* ---- present.c ---- */

/* With so few copies, reading each one costs less than asking the kernel which have pages. */
#define PERCPU__FEW_COPIES 16u
static inline bool percpu__copies_are_few(void)
{
	return percpu_abi.nr_copies <= PERCPU__FEW_COPIES;
}

/*
 * The copies that a sum may read without percpu__present_of, whatever its operand: all of them, or
 * 0 if it has to ask.
 */
extern uint32_t percpu__plain_copies;
static inline uint32_t percpu__nr_plain_copies(void)
{
	return __atomic_load_n(&percpu__plain_copies, __ATOMIC_RELAXED);
}

/*
 * Returns: true if reading an untouched copy in a chunk of this pool allocates its page. If copies
 * are many, sums ask percpu__present_of from now on, so call this before the chunk is published.
 */
bool percpu__reads_make_pages(const struct percpu_pool *pool);

/*
 * percpu__present_find - completes chunk->present for these pages of a unit, each of which holds a
 * live area; asks the kernel about those that are not known.
 * Returns: true if chunk->present tells which copies have them; false if all copies may be read.
 */
bool percpu__present_find(struct percpu__chunk *chunk, uint64_t pages);

/*
 * The copies that have the page of a pointer into a live area; all others read as zero.
 * Context: async-signal-safe.
 */
struct percpu__present {
	const uint64_t *copies; /* NULL: all may be read */
	uint64_t page;
};
struct percpu__present percpu__present_asked(const void *p);

static inline struct percpu__present percpu__present_of(const void *p)
{
	return percpu__likely(percpu__nr_plain_copies())
		       ? (struct percpu__present){ .copies = NULL }
		       : percpu__present_asked(p);
}

static inline bool percpu__is_present(struct percpu__present present, unsigned copy)
{
	return !present.copies ||
	       (__atomic_load_n(&present.copies[copy], __ATOMIC_RELAXED) & present.page);
}

/* Forgets pages that are about to be purged. Context: the pool's lock is held. */
void percpu__present_forget(struct percpu__chunk *chunk, uint64_t pages);

/* ---- copies.c ---- */

/* An allocated area. */
struct percpu__area {
	struct percpu__chunk *chunk;
	uint32_t offset_bytes; /* in a unit */
	uint32_t bytes;
};

static inline void __percpu *percpu__area_pointer(struct percpu__area area)
{
	return (void __percpu *)(uintptr_t)(area.chunk->base + area.offset_bytes);
}

/* Returns: the area that p points to; p is known to be valid. */
struct percpu__area percpu__area_of(const void __percpu *p);

/* A word of a user's object of any type. */
typedef uint64_t percpu__user_word __attribute__((may_alias));

/*
 * Zeroes words of one page. Writes only if a word is not zero, so that an untouched page is not
 * allocated.
 */
static inline __attribute__((always_inline)) void percpu__zero_words(percpu__user_word *at,
								     size_t nr)
{
	typedef uint64_t pair __attribute__((vector_size(16), aligned(8), may_alias));
	uint64_t any = 0;
	size_t i = 0;

	for (; i + 8 <= nr; i += 8) /* no wider loads: they would stall on recent word stores */
		any |= ((at[i] | at[i + 1]) | (at[i + 2] | at[i + 3])) |
		       ((at[i + 4] | at[i + 5]) | (at[i + 6] | at[i + 7]));
	for (; i < nr; i++)
		any |= at[i];
	if (!any)
		return;
	for (i = 0; i + 2 <= nr; i += 2) /* volatile, or it becomes a call of memset */
		*(volatile pair *)(at + i) = (pair){ 0, 0 };
	if (i < nr)
		*(volatile percpu__user_word *)(at + i) = 0;
}

/* Returns: true if the area at p lies in more than one 4 KiB page. */
static inline bool percpu__crosses_page(const void __percpu *p, uint32_t granules)
{
	return (uintptr_t)p / PERCPU__GRANULE % PERCPU__PAGE_GRANULES + granules >
	       PERCPU__PAGE_GRANULES;
}

/* Zeroes an area that lies in one 4 KiB page, reading every copy: for few copies. */
static inline __attribute__((always_inline)) void percpu__copies_zero_few(void __percpu *p,
									  size_t nr_words)
{
	percpu__user_word *copy = (percpu__user_word *)((uintptr_t)p + PERCPU_STRIDE);

	for (unsigned nr = percpu_abi.nr_copies; nr; nr--, copy += PERCPU_STRIDE / sizeof(*copy))
		percpu__zero_words(copy, nr_words);
}

/*
 * percpu__copies_zero - makes nr areas read as zero in every copy; allocates no page for this if
 * the kernel tells which copies have pages. Many areas of one chunk cost little more than one.
 * areas: its contents are destroyed.
 */
void percpu__copies_zero(struct percpu__area *areas, unsigned nr);

/* As percpu__copies_zero, for the area that p points to. */
void percpu__copies_zero_one(void __percpu *p);

/* Fills every copy of the area with poison. */
void percpu__copies_poison(struct percpu__area area);

/* Ends the process if a word of any copy of the area is neither poison nor zero. */
void percpu__copies_verify(struct percpu__area area);

/* ---- pool.c ---- */

/*
 * Initialises a zeroed pool that is in no list. attr: a complete one, which the caller has checked.
 * Returns: 0 or -ENOMEM.
 */
int percpu__pool_init(struct percpu_pool *pool, const char *name,
		      const struct percpu_pool_attr *attr, enum percpu__rank rank);

/* Releases what percpu__pool_init allocated. The pool has no chunks. */
void percpu__pool_fini(struct percpu_pool *pool);

/* Returns: the chunk in a slot of the pool's chunk index; NULL if the slot is vacant. */
static inline struct percpu__chunk *percpu__pool_chunk(const struct percpu_pool *pool,
						       uint32_t slot)
{
	return (struct percpu__chunk *)percpu__chunk_index_at(&pool->chunk_index, slot);
}

/* Returns: resident bytes of the metadata of the pool. Context: the pool's lock is held. */
size_t percpu__pool_bookkeeping_bytes(const struct percpu_pool *pool);

/*
 * percpu__pool_take - takes an area. *dirty is true if a copy may hold anything but zero: then the
 * caller calls percpu__pool_prepare after it has unlocked the pool.
 * Returns: true if *area was set; false if there is no memory, or the limit is reached.
 * Context: the pool's lock is held.
 */
bool percpu__pool_take(struct percpu_pool *pool, uint32_t granules, uint32_t align_granules,
		       struct percpu__area *area, bool *dirty);

/*
 * percpu__pool_put - puts the area of p back. Ends the process if another thread has just freed p.
 * Returns: true if the pool has idle memory, so that the caller calls percpu__trim_after_free.
 * Context: the pool's lock is held.
 */
bool percpu__pool_put(struct percpu_pool *pool, void __percpu *p);

/*
 * Verifies poison in dirty areas, if PERCPU_OPTIONS=check, and zeroes them.
 * areas: its contents are destroyed. Context: no lock is held.
 */
void percpu__pool_prepare(struct percpu__area *areas, unsigned nr);

/* Adds a chunk. Returns: false if there is no memory. Context: the pool's lock is held. */
bool percpu__pool_grow(struct percpu_pool *pool);

/*
 * percpu__pool_claim - makes granules [at, end) of a chunk one live area; frees areas that overlap
 * them.
 * percpu__pool_claimed - brings the chunk's page masks up to date after the last claim. Copies may
 * have been written below granule fresh.
 * Context of both: the pool's lock is held.
 */
void percpu__pool_claim(struct percpu_pool *pool, struct percpu__chunk *chunk, uint32_t at,
			uint32_t end);
void percpu__pool_claimed(struct percpu_pool *pool, struct percpu__chunk *chunk, uint32_t fresh);

/* As percpu__pool_take, but locks the pool and zeroes the area. Returns: NULL if it failed. */
void __percpu *percpu__pool_take_zeroed(struct percpu_pool *pool, uint32_t granules,
					uint32_t align_granules);

/* Removes an empty chunk from the pool and destroys it. Context: the pool's lock is held. */
void percpu__pool_drop(struct percpu_pool *pool, struct percpu__chunk *chunk);

/* Checks all invariants. Returns: true if they hold. Context: the pool's lock is held. */
bool percpu__pool_is_valid(const struct percpu_pool *pool);

/* ---- trim.c ---- */

/* Sets decay and kept pages of a new pool from its attributes and PERCPU_OPTIONS. */
void percpu__pool_age_init(struct percpu_pool *pool, const struct percpu_pool_attr *attr);

/* Purges some pages, or destroys one chunk, if any are due. Context: the pool's lock is held. */
void percpu__trim_after_free(struct percpu_pool *pool);

/* Frees a live area of any pool, but not into the area cache. Context: no lock is held. */
void percpu__pool_return(void __percpu *p);

/*
 * percpu__pools_age - gives back some idle memory of any pool, if that was not tried for a while.
 * now_ms: as percpu__now_ms returns it. Context: no lock is held.
 */
void percpu__pools_age(uint64_t now_ms);

/* Gives back all idle memory. Returns: bytes given back. Context: the pool's lock is held. */
size_t percpu__pool_trim(struct percpu_pool *pool);

/* ---- registry.c ---- */

/*
 * Returns: the pool that an address belongs to, even if it lies in a chunk of a published pool that
 * the owner process has made and this process does not know; NULL if there is none.
 * Context: takes the registry lock if the pagemap does not have the address.
 */
struct percpu_pool *percpu__pool_of(uintptr_t address);

/* Calls visit for every pool of the registry. Context: the registry lock is held. */
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

/*
 * Returns: the default pool, which the first call creates; NULL if there is no memory. Costs one
 * load once it exists.
 */
struct percpu_pool *percpu__pool_default(void);

/* Returns: pool, or the default pool if pool is NULL; NULL if there is no memory. */
struct percpu_pool *percpu__pool_or_default(struct percpu_pool *pool);

/* ---- debug.c ---- */

/* Returns: true if an option or a tool watches allocations, so that the hooks below are called. */
bool percpu__debug_on(void);

/*
 * The hooks. Context of all but percpu__debug_chunk: no lock is held.
 *
 * percpu__debug_allocated - after an allocation. caller: return address of the public function.
 * percpu__debug_freed - before a free.
 * percpu__debug_reused - before an area that was used is zeroed for its next allocation.
 * percpu__debug_chunk - after a chunk was made (is_there), or before one is destroyed.
 */
void percpu__debug_allocated(struct percpu__area area, const void *caller);
void percpu__debug_freed(struct percpu__area area);
void percpu__debug_reused(struct percpu__area area);
void percpu__debug_chunk(const struct percpu__chunk *chunk, bool is_there);

/* ---- fork.c ---- */

/* Registers the fork handlers once. A constructor calls this, and so does each maker of a pool. */
void percpu__fork_init(void);

/* ---- static.c ---- */

/* Frees the variables of modules that were unloaded. Context: no lock is held. */
void percpu__static_collect(void);

void percpu__static_lock_for_fork(void);
void percpu__static_unlock_after_fork(void);

#include "percpu/backing.h"

#endif
