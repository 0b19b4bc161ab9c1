/* SPDX-License-Identifier: MIT */
/*
 * Owns the backing of published pools: a memfd (file.h describes its layout), and address space for
 * all chunks that the file has room for. All their units are mapped from the file at creation, so a
 * process forked at any time sees later allocations.
 *
 *	address space:  | guard | cpu 0 | ... | fallback | fence, chunk, tags |  next slot ...
 *	file:   | front |       | cpu 0 | ... | fallback |                        cpu 0 | ...
 *
 * A slot that has got a chunk keeps it until the pool is destroyed: the seal that stops other
 * processes from writing also stops the kernel from taking pages back. The metadata after the units
 * is private to each process, and valid only in the process that owns the pool (owner.c).
 */
#include <errno.h>
#include <string.h>

#include "percpu/percpu.h"

#define DEFAULT_LIMIT_BYTES ((size_t)4 << 20)
#define DIRECTORY_SHARE 16u                         /* bytes of directory per byte of a copy */
#define DIRECTORY_MAX_BYTES ((uint64_t)1 << 30)     /* readers refuse more */

static uint64_t round_up(uint64_t bytes, uint64_t to)
{
	return (bytes + to - 1) / to * to;
}

static size_t units_bytes(void)
{
	return (size_t)percpu_abi.nr_copies * PERCPU_STRIDE;
}

/*
 * Returns: the header without magic, so that readers wait until the file is complete.
 * name_bytes: without the terminating zero byte.
 */
static struct percpu__file_header describe(size_t name_bytes, size_t limit_bytes)
{
	const uint64_t name_end = sizeof(struct percpu__file_header) + name_bytes + 1;
	const uint64_t directory_offset = round_up(name_end, percpu__page_bytes());
	const uint64_t wanted = limit_bytes > DIRECTORY_MAX_BYTES / DIRECTORY_SHARE
					? DIRECTORY_MAX_BYTES
					: limit_bytes * DIRECTORY_SHARE;
	const uint64_t nr_chunks = limit_bytes / PERCPU_STRIDE + 1;
	const uint64_t maps_bytes = nr_chunks * sizeof(struct percpu__live_map);
	const uint64_t chunks_offset =
		round_up(directory_offset + wanted + maps_bytes, PERCPU_STRIDE);
	const uint64_t maps_offset = chunks_offset - round_up(maps_bytes, percpu__page_bytes());

	return (struct percpu__file_header){
		.version = PERCPU__FILE_VERSION,
		.nr_copies = percpu_abi.nr_copies,
		.unit_bytes = PERCPU_STRIDE,
		.nr_chunks = nr_chunks,
		.name_offset = sizeof(struct percpu__file_header),
		.name_bytes = name_bytes,
		.directory_offset = directory_offset,
		.directory_bytes = maps_offset - directory_offset < DIRECTORY_MAX_BYTES
					   ? maps_offset - directory_offset
					   : DIRECTORY_MAX_BYTES,
		.chunks_offset = chunks_offset,
		.pid = percpu__own_pid(),
		.owner = percpu__process_word(),
	};
}

/* Names the file with the prefix that readers search for; only the header has the whole name. */
static int create_file(struct percpu__memfd *file, const char *name, uint64_t bytes)
{
	char short_name[64] = PERCPU__FILE_PREFIX;

	strncat(short_name, name, sizeof(short_name) - sizeof(PERCPU__FILE_PREFIX));
	return percpu__memfd_create(file, short_name, bytes);
}

static int map_front(struct percpu__shared *shared)
{
	shared->header = percpu__reserve(shared->front_bytes, percpu__page_bytes(), 0);
	return shared->header
		       ? percpu__memfd_map(&shared->file, 0, shared->header, shared->front_bytes)
		       : -ENOMEM;
}

static int map_slots(struct percpu__shared *shared)
{
	int error = 0;

	shared->slots = percpu__reserve(shared->nr_slots * shared->slot_bytes, PERCPU_STRIDE, 0);
	if (!shared->slots)
		return -ENOMEM;
	for (size_t i = 0; i < shared->nr_slots && !error; i++)
		error = percpu__memfd_map(&shared->file, shared->front_bytes + i * units_bytes(),
					  shared->slots + i * shared->slot_bytes + PERCPU_STRIDE,
					  units_bytes());
	return error;
}

static void release(struct percpu__shared *shared)
{
	if (shared->last_gone)
		percpu__gone_put(shared->slots, shared->nr_slots * shared->slot_bytes,
				 shared->last_gone, false);
	else if (shared->slots)
		percpu__release(shared->slots, shared->nr_slots * shared->slot_bytes);
	if (shared->header)
		percpu__release(shared->header, shared->front_bytes);
	percpu__memfd_close(&shared->file);
	percpu__release(shared, sizeof(*shared));
}

int percpu__shared_create(struct percpu__shared **out, const char *name, size_t limit_bytes,
			  size_t chunk_bytes)
{
	const size_t room = limit_bytes ? limit_bytes : DEFAULT_LIMIT_BYTES;
	const struct percpu__file_header header = describe(strlen(name), room);
	struct percpu__shared *shared = percpu__map(sizeof(*shared));
	uint64_t file_bytes;
	int error = -ENOMEM;

	if (!shared)
		return -ENOMEM;
	shared->directory_offset = header.directory_offset;
	shared->directory_bytes = header.directory_bytes;
	shared->front_bytes = header.chunks_offset;
	shared->nr_slots = header.nr_chunks;
	shared->slot_bytes = round_up(chunk_bytes, PERCPU_STRIDE);
	shared->file.fd = -1;
	if (!__builtin_mul_overflow(header.nr_chunks, shared->slot_bytes, &file_bytes) &&
	    file_bytes < INT64_MAX / 2)
		error = create_file(&shared->file, name,
				    header.chunks_offset + header.nr_chunks * units_bytes());
	if (!error)
		error = map_front(shared);
	if (!error)
		error = map_slots(shared);
	if (!error)
		error = percpu__memfd_seal(&shared->file);
	if (error) {
		release(shared);
		return error;
	}
	shared->maps =
		(struct percpu__live_map *)((char *)shared->header + shared->front_bytes -
					    round_up(shared->nr_slots * sizeof(*shared->maps),
						     percpu__page_bytes()));
	shared->owner = header.owner;
	shared->space = percpu__process_space();
	shared->generation = percpu__generation();
	*shared->header = header;
	strcpy((char *)(shared->header + 1), name);
	/* pairs with read_header */
	__atomic_store_n(&shared->header->magic, PERCPU__FILE_MAGIC, __ATOMIC_RELEASE);
	*out = shared;
	return 0;
}

void percpu__shared_destroy(struct percpu__shared *shared)
{
	release(shared);
}

static char *map(struct percpu_pool *pool)
{
	struct percpu__shared *shared = pool->shared;
	char *base;

	if (shared->nr_taken == shared->nr_slots)
		return NULL;
	if (shared->nr_taken >= __atomic_load_n(&shared->header->nr_taken, __ATOMIC_RELAXED))
		__atomic_store_n(&shared->header->nr_taken, shared->nr_taken + 1, __ATOMIC_RELAXED);
	base = shared->slots + shared->nr_taken++ * shared->slot_bytes;
	percpu__lock_touched(base + PERCPU_STRIDE, units_bytes());
	return base;
}

static void unmap(struct percpu_pool *pool, char *base)
{
	pool->shared->nr_taken--;
}

/* The slot stays mapped until the pool is destroyed. */
static void unmap_chunk(struct percpu__chunk *chunk)
{
	chunk->pool->shared->last_gone = &chunk->gone;
	unmap(chunk->pool, chunk->base);
}

static bool contains(const struct percpu_pool *pool, uintptr_t address)
{
	return address - (uintptr_t)pool->shared->slots <
	       pool->shared->nr_slots * pool->shared->slot_bytes;
}

uint64_t percpu__shared_offset(const struct percpu__shared *shared, uintptr_t address)
{
	const uint64_t at = address - (uintptr_t)shared->slots;

	return shared->front_bytes + at / shared->slot_bytes * units_bytes() +
	       at % shared->slot_bytes - PERCPU_STRIDE;
}

/*
 * Finds one extent at a time, so that the caller can skip pages that it knows before the next
 * system call.
 */
static int find_pages(const struct percpu__chunk *chunk, uintptr_t *start, uintptr_t end,
		      struct percpu__extent *extents, unsigned capacity)
{
	const struct percpu__shared *shared = chunk->pool->shared;
	unsigned nr = 0;

	while (*start < end && nr < 1) {
		const uint64_t offset = percpu__shared_offset(shared, *start);
		const int64_t data = percpu__memfd_seek_data(&shared->file, offset);
		int64_t hole;

		if (data == -ENXIO || (data >= 0 && data - offset >= end - *start)) {
			*start = end;
			break;
		}
		hole = data < 0 ? data : percpu__memfd_seek_hole(&shared->file, data);
		if (hole < 0)
			return hole;
		extents[nr].start = *start + (data - offset);
		extents[nr].end = hole - offset < end - *start ? *start + (hole - offset) : end;
		*start = extents[nr++].end;
	}
	return nr;
}

const struct percpu__backing percpu__backing_memfd = {
	.reads_make_pages = true,
	.map = map,
	.unmap = unmap,
	.unmap_chunk = unmap_chunk,
	.find_pages = find_pages,
	.note = percpu__shared_note,
	.contains = contains,
};
