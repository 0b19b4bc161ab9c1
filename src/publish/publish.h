/* SPDX-License-Identifier: MIT */
/*
 * The layer of published statistics. Who owns what:
 *
 *   publish.c   descriptions in the directory of a published pool: the writer
 *   find.c      which processes have such a pool open
 *   reader.c    a pool of another process: opened, brought up to date, asked
 *   directory.c what it describes
 *   pages.c     which pages of the file have memory
 *   rows.c      words of pages that were found to have any
 *   values.c    what the file holds, in such rows
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

#define PERCPU__READER_MAX_BYTES ((uint64_t)1 << 30) /* that a reader takes, unless it is told otherwise */
#define PERCPU__BLOCK_BYTES 4096u                    /* units are read in blocks of this size; no page is smaller */
#define PERCPU__BLOCK_WORDS (PERCPU__BLOCK_BYTES / sizeof(uint64_t))
#define PERCPU__UNIT_BLOCKS (PERCPU_STRIDE / PERCPU__BLOCK_BYTES)

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
	uint32_t first_piece, nr_pieces;
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
 * The part of an entry's words that lies in one block. The blocks at one place of all copies are a page: only those where
 * some copy has memory are numbered, and only in those an entry has pieces.
 */
struct percpu__piece {
	uint32_t page;
	uint32_t word;     /* the first, among the entry's */
	bool is_histogram;
	uint16_t nr_words;
	uint16_t block;    /* of a unit */
	uint16_t at;       /* where that is in the block, in words */
	uint16_t row_at;   /* where it goes in a row of the page */
};

/* The words of all pieces of a page, summed over the copies of a domain. Found by page and domain, in a hash table. */
struct percpu__row {
	uint32_t page, domain;
	uint64_t words; /* where they are among the reader's, and 1; 0: no row */
};

/* Memory that grows; capacity is in bytes. */
struct percpu__buffer {
	void *memory;
	size_t capacity;
};

/*
 *	image     the directory as it was read; strings point into it
 *	entries   its metrics, in its order
 *	order     the same by the place of their values
 *	pieces    of all entries, those of an entry side by side
 *	rows      and words: see above. What has no row is zero
 *	scratch   words of a histogram of several pieces, when it is asked for
 *
 * So what a reader takes depends on what the file holds, not on what it claims. Words are 8-byte aligned in the file and
 * in the buffer they are read into, where the kernel copies them whole.
 */
struct percpu_reader {
	int fd;
	int watch; /* of the process; negative: this kernel does not tell */
	struct percpu__file_id fd_id, watch_id; /* the program may have closed them since */
	struct percpu__wire_header header;
	char *name;
	uint64_t image_bytes;
	size_t nr;
	uint64_t nr_labels;
	uint32_t nr_pieces, nr_pages, nr_rows;
	uint64_t nr_words;
	uint64_t rows_mask;
	struct percpu__buffer image, entries, labels, order, pieces, of_pages, runs, rows, words, scratch;
	uint32_t *domain_of; /* NULL: all copies are one domain */
	uint32_t nr_domains;
	uint64_t *unit;
	uint64_t max_bytes;          /* of all that */
	uint64_t max_ns, deadline_ns; /* of the thread's time; 0: none */
};

static inline struct percpu__entry *percpu__reader_entries(const struct percpu_reader *reader)
{
	return reader->entries.memory;
}

/* ---- io.c ---- */

/* Returns: bytes of memory that the reader has taken. */
uint64_t percpu__reader_bytes(const struct percpu_reader *reader);

/*
 * percpu__buffer_reserve - grows the buffer to at least bytes; the contents stay.
 * Returns: 0; -ENOMEM; -E2BIG if the reader would take more than its limit.
 */
int percpu__buffer_reserve(struct percpu_reader *reader, struct percpu__buffer *buffer, uint64_t bytes);

/* Frees the memory; the buffer is empty afterwards. */
void percpu__buffer_free(struct percpu__buffer *buffer);

/*
 * percpu__reader_read - reads bytes at offset of the file.
 * Returns: 0 if all of them were read; -EPROTO if the file ends before; otherwise -errno.
 */
int percpu__reader_read(const struct percpu_reader *reader, void *buffer, size_t bytes, uint64_t offset);

/* Returns: 0; -ETIME once the update takes longer than it may. */
int percpu__reader_has_time(const struct percpu_reader *reader);

/* ---- directory.c ---- */

/*
 * percpu__directory_read - reads the directory anew. *changes: what the header said of changes before, to compare
 * with later; odd where it never stood still. Then each record was read by itself, and is whole.
 */
int percpu__directory_read(struct percpu_reader *reader, uint64_t *changes);

/*
 * percpu__directory_keep_settled - where there were changes since, entries whose description is another by now may have
 * had their values read from another's: they are dropped.
 */
int percpu__directory_keep_settled(struct percpu_reader *reader, uint64_t changes);

/* ---- pages.c ---- */

/* Blocks of a copy that have memory, side by side. */
struct percpu__run {
	uint32_t copy;
	uint16_t first, nr;
};

/*
 * percpu__pages_find - the runs of all copies of the chunk, among bytes [low, high) of its units, into reader->runs.
 * Where the system does not tell, all is taken for memory. Fills no hole.
 */
int percpu__pages_find(struct percpu_reader *reader, uint64_t chunk_at, uint64_t low, uint64_t high, size_t *nr);

/* ---- rows.c ---- */

/* No row any more. */
void percpu__rows_clear(struct percpu_reader *reader);

/* Room for nr rows more, so that percpu__row_make needs but words. 0, -ENOMEM, -E2BIG. */
int percpu__rows_prepare(struct percpu_reader *reader, size_t nr);

/* *words: of the row of page and domain, nr_words of them, zero where it is new. 0, -ENOMEM, -E2BIG. */
int percpu__row_make(struct percpu_reader *reader, uint32_t page, uint32_t domain, size_t nr_words, uint64_t **words);

/* The same of a row that may be there, or NULL. */
const uint64_t *percpu__row_find(const struct percpu_reader *reader, uint32_t page, uint32_t domain);

/* ---- values.c ---- */

int percpu__values_read(struct percpu_reader *reader);

/* The words of an entry in a domain; those of a histogram until the next call. */
const uint64_t *percpu__values_of(const struct percpu_reader *reader, const struct percpu__entry *entry, uint32_t domain);

#endif
