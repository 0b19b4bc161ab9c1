/* SPDX-License-Identifier: MIT */
/*
 * The layout of the file of a published pool, as far as this layer writes it. All numbers are in the byte order of
 * the machine.
 *
 *	| header, name | directory | live maps | chunk 0: copy 0 | copy 1 | ... | copy N | chunk 1: copy 0 | ...
 *	               ^directory_offset       ^chunks_offset
 *
 * The directory belongs to the publish layer (src/publish/format.h), as do changes and used_bytes of the header.
 * magic is stored last when a pool is created. The file is sealed: its size is fixed, and nobody else can map it for
 * writing.
 */
#ifndef PERCPU_FILE_H
#define PERCPU_FILE_H

#include <stdint.h>

#define PERCPU__FILE_MAGIC UINT64_C(0x0a757063726570ff) /* "\xffpercpu\n" */
#define PERCPU__FILE_VERSION 1u
#define PERCPU__FILE_PREFIX "percpu:" /* of the name of the file */

struct percpu__file_header {
	uint64_t magic;
	uint32_t version;
	uint32_t nr_copies;
	uint64_t unit_bytes;       /* from one copy to the next */
	uint64_t nr_chunks;        /* the most that the file can hold */
	uint64_t name_offset, name_bytes; /* without the terminating zero byte */
	uint64_t directory_offset, directory_bytes;
	uint64_t chunks_offset;
	int64_t pid;               /* of the owner, as it sees itself; the creator at first */
	uint64_t changes __attribute__((aligned(64)));
	uint64_t used_bytes;       /* of the directory */
	uint64_t owner;            /* identity of the owner (src/platform/self.c); 0: the pool cannot be taken over */
	uint64_t nr_taken;         /* the most chunks that were ever in use, hence the number of live maps */
};
_Static_assert(sizeof(struct percpu__file_header) == 192, "layout of the file");

/*
 * Which areas of a chunk live, for a process that takes the pool over. The bit of an area's first granule is set in
 * `first` and that of its last granule in `last`; each word covers 64 granules. `last` is set first and cleared last,
 * so that an owner that dies in between leaves no area too short. Readers do not use the map.
 */
#define PERCPU__LIVE_MAP_WORDS 512u
struct percpu__live_map {
	uint64_t fresh;            /* no granule from this one on was ever allocated */
	struct {
		uint64_t first, last;
	} live[PERCPU__LIVE_MAP_WORDS];
};

#endif
