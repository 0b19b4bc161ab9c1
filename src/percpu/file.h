/* SPDX-License-Identifier: MIT */
/*
 * The layout of a published pool's file, as far as this layer writes it. Numbers are in native byte
 * order.
 *
 *	| header, name | directory | live maps | chunk 0: copy 0 | copy 1 | ... | chunk 1 ...
 *	               ^directory_offset       ^chunks_offset
 *
 * The publish layer owns the directory (src/publish/format.h), and `changes` and `used_bytes` of
 * the header. `magic` is stored last when a pool is created. The file is sealed: its size is fixed,
 * and no other process can map it writable; children of the creator inherit a writable mapping.
 */
#ifndef PERCPU_FILE_H
#define PERCPU_FILE_H

#include <stdint.h>

#define PERCPU__FILE_MAGIC UINT64_C(0x0a757063726570ff) /* "\xffpercpu\n" */
#define PERCPU__FILE_VERSION 1u
#define PERCPU__FILE_PREFIX "percpu:" /* start of the memfd's name */

struct percpu__file_header {
	uint64_t magic;
	uint32_t version;
	uint32_t nr_copies;
	uint64_t unit_bytes;       /* from one copy to the next */
	uint64_t nr_chunks;        /* the capacity of the file */
	uint64_t name_offset, name_bytes; /* without the terminating zero byte */
	uint64_t directory_offset, directory_bytes;
	uint64_t chunks_offset;
	int64_t pid;               /* of the owner, in its own PID namespace */
	uint64_t changes __attribute__((aligned(64)));
	uint64_t used_bytes;       /* of the directory */
	uint64_t owner;            /* its identity (src/platform/self.c); 0: no take-over */
	uint64_t nr_taken;         /* chunks that were ever in use; so many live maps count */
};
_Static_assert(sizeof(struct percpu__file_header) == 192, "layout of the file");

/*
 * The live areas of a chunk, for a process that takes the pool over. An area sets the bit of its
 * first granule in `first` and the bit of its last granule in `last`; each word covers 64 granules.
 * `last` is set first and cleared last, so that an owner that dies in between truncates no area.
 * Readers of statistics do not use the map.
 */
#define PERCPU__LIVE_MAP_WORDS 512u
struct percpu__live_map {
	uint64_t fresh;            /* no granule from here on was ever allocated */
	struct {
		uint64_t first, last;
	} live[PERCPU__LIVE_MAP_WORDS];
};

#endif
