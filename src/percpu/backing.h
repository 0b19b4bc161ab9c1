/* SPDX-License-Identifier: MIT */
/*
 * The backing of a pool, the memory of its chunks: private memory (private.c), or the memfd of a
 * published pool (shared.c), which several processes map. For the latter, live_map.c records which
 * areas are live, and owner.c decides which process may change the pool.
 */
#ifndef PERCPU_BACKING_H
#define PERCPU_BACKING_H

#include "percpu/file.h"
#include "percpu/pools.h"

struct percpu__backing {
	bool can_purge;        /* pages can be given back to the kernel */
	bool reads_make_pages; /* a read of an untouched page allocates it on every machine */

	/*
	 * Reserves address space for a chunk, with its units accessible.
	 * Returns: the base; NULL if there is no memory. Context: the pool's lock is held.
	 */
	char *(*map)(struct percpu_pool *pool);

	/* Undoes the last call of map, whose chunk could not be made. Context: as map. */
	void (*unmap)(struct percpu_pool *pool, char *base);

	/* Gives back the memory of a chunk that has left the pagemap. Context: as map. */
	void (*unmap_chunk)(struct percpu__chunk *chunk);

	/*
	 * As percpu__find_pages, but finds pages whichever process allocated them.
	 * [*start, end) lies in the units of one chunk.
	 */
	int (*find_pages)(const struct percpu__chunk *chunk, uintptr_t *start, uintptr_t end,
			  struct percpu__extent *extents, unsigned capacity);

	/*
	 * Notes for the next owner that an area was allocated (lives) or freed; NULL if the pool
	 * never has a next owner. Context: as map.
	 */
	void (*note)(struct percpu_pool *pool, const struct percpu__chunk *chunk, uint32_t offset,
		     uint32_t granules, bool lives);

	/*
	 * Returns: true if the address lies in the address space of the pool's chunks, present or
	 * future. NULL if only the pagemap tells.
	 */
	bool (*contains)(const struct percpu_pool *pool, uintptr_t address);
};
extern const struct percpu__backing percpu__backing_private, percpu__backing_memfd;

/* ---- shared.c ---- */

/* Immutable, except for the fields that name a lock. Atomic ones are also read without it. */
struct percpu__shared {
	struct percpu__memfd file;
	struct percpu__file_header *header; /* mapped; the owner process writes, any may read */
	struct percpu__live_map *maps;      /* [slot]; mapped, as header */
	uint64_t space;                     /* percpu__process_space of the creator */
	uint64_t directory_offset;          /* as in the header, which children may overwrite */
	uint64_t directory_bytes;           /* likewise */
	size_t front_bytes;                 /* bytes of the file before its first chunk */
	char *slots;                        /* address space, one slot for each chunk */
	size_t slot_bytes, nr_slots;
	size_t nr_taken;                    /* slots that have a chunk; pool lock */
	struct percpu__gone *last_gone;     /* of the chunk destroyed last; pool lock */
	uint64_t generation;                /* fork generation of the owner; pool lock, atomic */
	bool is_second_hand;                /* was taken over; pool lock, atomic */
	uint64_t owner;                     /* identity of the last known owner; pool lock */
	uint64_t publish_state[98];         /* for the publish layer, zeroed at first; pool lock */
};

/*
 * percpu__shared_create - creates and maps the memfd of a published pool.
 * limit_bytes: the room for each copy; 0 for the default. chunk_bytes: address space of a chunk.
 * Returns: 0 or -errno.
 */
int percpu__shared_create(struct percpu__shared **out, const char *name, size_t limit_bytes,
			  size_t chunk_bytes);

/* Unmaps and closes the file. The pool has no chunks, and no other thread uses it. */
void percpu__shared_destroy(struct percpu__shared *shared);

/* Returns: the offset in the file of an address in a unit of the pool. */
uint64_t percpu__shared_offset(const struct percpu__shared *shared, uintptr_t address);

/* ---- live_map.c ---- */

/* Returns: the live map of the chunk that an address of the pool lies in. */
struct percpu__live_map *percpu__live_map_of(const struct percpu__shared *shared,
					     uintptr_t address);

/* The function `note` of percpu__backing_memfd. */
void percpu__shared_note(struct percpu_pool *pool, const struct percpu__chunk *chunk,
			 uint32_t offset, uint32_t granules, bool lives);

/*
 * Returns: granules of the live area that starts at a per-CPU address of the pool, by the live map;
 * 0 if there is none.
 */
uint32_t percpu__shared_size(const struct percpu__shared *shared, uintptr_t address);

/*
 * Finds the first live area at or after granule `at`, and its end.
 * Returns: its start; PERCPU__UNIT_GRANULES if there is none.
 */
uint32_t percpu__live_map_next(const struct percpu__live_map *map, uint32_t at, uint32_t *end);

/*
 * Clears the bits of ends that have no start, which would truncate areas that are allocated later.
 * Context: the pool's lock is held.
 */
void percpu__live_map_repair(struct percpu__live_map *map);

/* ---- owner.c ---- */

/* Returns: true if this process owns the pool. While it lives no other process can change that. */
static inline bool percpu__shared_is_own(const struct percpu__shared *shared)
{
	/* pairs with percpu__pool_take_over */
	return __atomic_load_n(&shared->generation, __ATOMIC_ACQUIRE) == percpu__generation();
}

/*
 * percpu__pool_take_over - makes this process the owner if the last owner is gone.
 * Returns: 0; -EPERM if the owner lives, or if this cannot be determined; -ENOMEM.
 * Context: no pool lock is held.
 */
int percpu__pool_take_over(struct percpu_pool *pool);

/*
 * Returns: 0 if the caller may change the pool, because this process owns it or has just taken it
 * over, or because the pool is not published; otherwise as percpu__pool_take_over.
 * Context: no pool lock is held.
 */
static inline int percpu__pool_own(struct percpu_pool *pool)
{
	return percpu__likely(!pool->shared) || percpu__shared_is_own(pool->shared)
		       ? 0
		       : percpu__pool_take_over(pool);
}

/* Marks the file as having no owner, before the owner destroys its pool. */
void percpu__shared_disown(struct percpu__shared *shared);

#endif
