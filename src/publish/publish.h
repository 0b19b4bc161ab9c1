/* SPDX-License-Identifier: MIT */
/*
 * The floor of published statistics. Who owns what:
 *
 *   publish.c   descriptions in the directory of a published pool: the writer
 *   find.c      which processes have such a pool open
 *   reader.c    a pool of another process: what it says, and its values
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

#endif
