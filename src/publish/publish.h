/* SPDX-License-Identifier: MIT */
/*
 * The floor of published statistics. Who owns what:
 *
 *   publish.c   descriptions in the directory of a published pool: the writer
 *   find.c      which processes have such a pool open
 *   reader.c    a pool of another process: opened, brought up to date, asked
 *   directory.c what it describes
 *   values.c    what it holds
 *   parse.c     what a directory may say: every offset, length and count is checked here
 *
 * The layout of what they share with other processes is in src/percpu/wire.h.
 */
#ifndef PERCPU_PUBLISH_FLOOR_H
#define PERCPU_PUBLISH_FLOOR_H

#include "counter/counter.h"
#include "percpu/percpu.h"
#include "platform/platform.h"

#include <percpu/publish.h>

/* Words of a histogram's copy before its counts, as struct percpu_histogram_copy has them. */
#define PERCPU__HISTOGRAM_WORDS (sizeof(struct percpu_histogram_copy) / sizeof(uint64_t))

#define PERCPU__READER_MAX_BYTES ((uint64_t)1 << 30) /* of a directory, and of values */

/* A scale, or what claims to be one: neither it nor what it makes of 64 bits leaves the range of a double. */
static inline bool percpu__scale_is_valid(double scale)
{
	return scale >= 1e-30 && scale <= 1e30;
}

/* ---- parse.c ---- */

/* A metric as a reader holds it. */
struct percpu__entry {
	struct percpu_metric metric; /* its strings and labels lie in the image */
	uint64_t record_at;          /* offset in the directory */
	uint64_t generation;
	uint64_t value;              /* offset of copy 0's words in the file */
	uint32_t nr_words;
	struct percpu_histogram_shape shape;
	uint64_t first_word;         /* among those of a group */
	uint64_t first_label;
};

/* Whether a reader can go by the header; file_bytes: of the file as it is. */
bool percpu__header_is_valid(const struct percpu__wire_header *header, uint64_t file_bytes);

/*
 * Bytes of the record at offset, from what its first bytes say; 0: nonsense.
 * used_bytes: of the directory.
 */
uint64_t percpu__record_bytes(const struct percpu__wire_record *record, uint64_t at, uint64_t used_bytes);

/* Reads a whole record that is not vacant; nothing of it is trusted. text points into it. false: nonsense. */
bool percpu__record_read(const struct percpu__wire_header *header, const struct percpu__wire_record *record,
			 struct percpu__entry *entry);

/* The labels of an entry, nr_labels of them, which percpu__record_read found to be there. */
void percpu__record_labels(const struct percpu__wire_record *record, struct percpu_label *labels);

/* ---- reader.c ---- */

/*
 *	image     the directory as it was read; strings point into it
 *	entries   its metrics, in its order
 *	order     the same by the place of their values
 *	words     their values: for each group one row, an entry's words in it at first_word
 *
 * Words are 8-byte aligned in the file and in the buffer they are read into, where the kernel copies them whole.
 */
struct percpu_reader {
	int fd;
	int watch; /* of the process; negative: this kernel does not tell */
	struct percpu__file_id fd_id, watch_id; /* the program may have closed them since */
	struct percpu__wire_header header;
	char *name;
	struct percpu__wire_record *image;
	uint64_t image_bytes;
	size_t image_capacity;
	struct percpu__entry *entries;
	size_t nr, entries_capacity;
	struct percpu_label *labels;
	uint64_t nr_labels;
	size_t labels_capacity;
	uint32_t *order;
	size_t order_capacity;
	uint64_t *words;
	uint64_t nr_words; /* of a group */
	size_t words_capacity;
	uint32_t *group_of; /* NULL: all copies are one group */
	uint32_t nr_groups;
	uint64_t *unit;
};

/* Room for bytes in all; capacities are bytes. The contents stay. */
int percpu__reader_room(void *memory, size_t *capacity, uint64_t bytes);

/* All bytes or an error: a file that ends early was cut off. */
int percpu__reader_read(const struct percpu_reader *reader, void *buffer, size_t bytes, uint64_t offset);

/* ---- directory.c ---- */

/* Reads the directory anew; one_by_one: it may be torn, so each record is read again. */
int percpu__directory_read(struct percpu_reader *reader, bool one_by_one);

/* Entries whose description is another by now may have had their values read from another's. */
int percpu__directory_drop_changed(struct percpu_reader *reader);

/* ---- values.c ---- */

int percpu__values_read(struct percpu_reader *reader);

#endif
