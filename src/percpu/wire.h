/* SPDX-License-Identifier: MIT */
/*
 * A published pool as other processes see it: the layout of its file. All numbers are this machine's.
 *
 *	| header, name | directory | maps | chunk 0: copy 0 | copy 1 | ... | copy N | chunk 1: copy 0 | ...
 *	               ^directory_offset   ^chunks_offset
 *
 * The directory is a row of records, each a metric's description or vacant:
 *
 *	| record | text | record | text | ... |				used_bytes in all
 *
 * A record's length never changes, so the row can always be walked. Its text is name, unit, help, then a
 * name and a value for each label, every one closed by a zero byte. Its value is nr_words words of 64 bits
 * in each copy; those of copy i begin at value + i * unit_bytes. A histogram's are a struct percpu_histogram_copy.
 *
 * `changes` is a seqcount: the writer makes it odd before a change of the directory and even after. A record's
 * generation is one of that record alone: odd while the record is vacant or half written. A reader that finds
 * the same even number before and after reading records and values has read a consistent state; if `changes`
 * never rests, generations tell the same of single records. magic is stored last when a pool is made. A process
 * that dies in the middle of a change leaves odd numbers.
 *
 * The file is sealed: its size stays, and nobody can map it for writing any more. A reader relies on none of
 * this, for whoever made the file may be anybody.
 */
#ifndef PERCPU_WIRE_H
#define PERCPU_WIRE_H

#include <stdint.h>

#define PERCPU__WIRE_MAGIC UINT64_C(0x0a757063726570ff) /* "\xffpercpu\n" */
#define PERCPU__WIRE_VERSION 1u
#define PERCPU__WIRE_PREFIX "percpu:" /* of the file's name */

struct percpu__wire_header {
	uint64_t magic;
	uint32_t version;
	uint32_t nr_copies;
	uint64_t unit_bytes;       /* from one copy to the next */
	uint64_t nr_chunks;        /* that there is room for */
	uint64_t name_offset, name_bytes; /* without the zero byte that follows */
	uint64_t directory_offset, directory_bytes;
	uint64_t chunks_offset;
	int64_t pid;               /* of the owner, as it knows itself: the creator at first */
	uint64_t changes __attribute__((aligned(64)));
	uint64_t used_bytes;       /* of the directory */
	uint64_t owner;            /* the owner's word (src/platform/self.c); 0: nobody can take its place */
	uint64_t nr_taken;         /* chunks that were ever taken: what maps there are */
};

struct percpu__wire_record {
	uint64_t generation;       /* odd: vacant */
	uint64_t bytes;            /* to the next record; for ever */
	uint64_t value;            /* offset of copy 0's words in the file */
	uint64_t next_vacant;      /* the publisher's own */
	uint32_t kind;             /* enum percpu_metric_kind */
	uint32_t nr_words;
	uint32_t nr_labels;
	uint16_t unit_shift;       /* of a histogram's shape */
	uint16_t precision_bits;
	double scale;
	uint64_t text_bytes;
	char text[];
};

/*
 * What lives in a chunk, for processes that share it: one of them may take the owner's place. A live area has its first
 * granule's bit in `first` and its last granule's in `last`, of the word for 64 granules. `last` is set first and cleared
 * last, so that an owner who dies in between leaves no area too short. Readers have no use for it.
 */
#define PERCPU__WIRE_MAP_WORDS 512u
struct percpu__wire_map {
	uint64_t fresh;            /* granule from which nothing was ever handed out */
	struct {
		uint64_t first, last;
	} live[PERCPU__WIRE_MAP_WORDS];
};

_Static_assert(sizeof(struct percpu__wire_header) == 192, "the file's layout");
_Static_assert(sizeof(struct percpu__wire_record) == 64, "the file's layout");

#endif
