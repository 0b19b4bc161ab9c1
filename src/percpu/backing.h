/* SPDX-License-Identifier: MIT */
/*
 * The memory behind the chunks of a pool: private memory (private.c), or the file of a published pool (shared.c), which
 * processes share: live_map.c says which areas live in it, owner.c which process may change it.
 */
#ifndef PERCPU_BACKING_H
#define PERCPU_BACKING_H

#include "percpu/file.h"
#include "percpu/percpu.h"

struct percpu__backing {
	bool can_purge;        /* the kernel takes pages back */
	bool reads_make_pages; /* a read of an untouched page allocates it, whatever the machine does otherwise */

	/* Returns: the base of one more chunk, its units accessible; NULL: no memory. Context: the pool's lock is held. */
	char *(*map)(struct percpu_pool *pool);

	/* Gives back what map returned last, before a chunk is in it. Context: as map. */
	void (*unmap)(struct percpu_pool *pool, char *base);

	/* Gives back a chunk that the pagemap does not know any more. Context: as map. */
	void (*unmap_chunk)(struct percpu__chunk *chunk);

	/* As percpu__find_pages, whichever process made the pages; [*start, end) lies in the units of one chunk. */
	int (*find_pages)(const struct percpu__chunk *chunk, uintptr_t *start, uintptr_t end,
			  struct percpu__extent *extents, unsigned capacity);

	/* Notes for a later owner that an area lives or was freed; NULL: there is no later owner. Context: as map. */
	void (*note)(struct percpu_pool *pool, const struct percpu__chunk *chunk, uint32_t offset, uint32_t granules,
		     bool lives);

	/* True if the address lies where the pool has, or will have, chunks; NULL: only the pagemap tells. */
	bool (*contains)(const struct percpu_pool *pool, uintptr_t address);
};
extern const struct percpu__backing percpu__backing_private, percpu__backing_memfd;

/* ---- shared.c ---- */

/* Immutable but for the fields that name a lock; what the pool's lock guards and is read without it is atomic. */
struct percpu__shared {
	struct percpu__memfd file;
	struct percpu__file_header *header; /* and the directory; written by the owner only, read by any process */
	struct percpu__live_map *maps;      /* one per slot; as header */
	uint64_t space;                     /* in which the identities of owners are comparable (percpu__process_space) */
	uint64_t directory_offset, directory_bytes; /* as in the header, which children may overwrite */
	size_t front_bytes;                 /* of the file, before the first chunk */
	char *slots;
	size_t slot_bytes, nr_slots;
	size_t nr_taken;                    /* pool lock */
	struct percpu__gone *last_gone;     /* of the last chunk that was destroyed; pool lock */
	uint64_t generation;                /* of this process if it is the owner; pool lock, read without */
	bool is_second_hand;                /* taken over: other processes said what lives; pool lock, read without */
	uint64_t owner;                     /* its identity, as this process last knew; pool lock */
	uint64_t publish_state[98];         /* room for the publish layer's own, zeroed at first; pool lock */
};

/*
 * percpu__shared_create - creates a file for chunks of chunk_bytes, with room for limit_bytes of every copy
 * limit_bytes: 0 for the default. Returns: 0 or -errno.
 */
int percpu__shared_create(struct percpu__shared **out, const char *name, size_t limit_bytes, size_t chunk_bytes);
void percpu__shared_destroy(struct percpu__shared *shared);

/* Returns: the offset in the file of an address of a unit. */
uint64_t percpu__shared_offset(const struct percpu__shared *shared, uintptr_t address);

/* ---- live_map.c ---- */

/* The map of the chunk that an address lies in. */
struct percpu__live_map *percpu__live_map_of(const struct percpu__shared *shared, uintptr_t address);

/* The member note of the backing. */
void percpu__shared_note(struct percpu_pool *pool, const struct percpu__chunk *chunk, uint32_t offset,
			 uint32_t granules, bool lives);

/* Returns: granules of the area that lives at an address of the units by the map; 0 if there is none. */
uint32_t percpu__shared_size(const struct percpu__shared *shared, uintptr_t address);

/* The first live area at or after a granule, and its end. Returns: its start; PERCPU__UNIT_GRANULES if there is none. */
uint32_t percpu__live_map_next(const struct percpu__live_map *map, uint32_t at, uint32_t *end);

/* Clears bits of ends without a start, which would cut later areas short. Context: the pool's lock is held. */
void percpu__live_map_repair(struct percpu__live_map *map);

/* ---- owner.c ---- */

/* Whether this process may change the pool: no other does while it lives. */
static inline bool percpu__shared_is_own(const struct percpu__shared *shared)
{
	return __atomic_load_n(&shared->generation, __ATOMIC_ACQUIRE) == percpu__generation(); /* pairs with percpu__pool_take_over */
}

/* Takes the owner's place if that is vacant. 0, -EPERM (the owner lives, or that cannot be told), -ENOMEM. No pool lock held. */
int percpu__pool_take_over(struct percpu_pool *pool);

/* 0: the caller may change the pool, now if not before. Else as percpu__pool_take_over. No pool lock held. */
static inline int percpu__pool_own(struct percpu_pool *pool)
{
	return percpu__likely(!pool->shared) || percpu__shared_is_own(pool->shared) ? 0 : percpu__pool_take_over(pool);
}

/* Before the owner gives the pool up: the next may come. */
void percpu__shared_disown(struct percpu__shared *shared);

#endif
