/* SPDX-License-Identifier: MIT */
/*
 * The layer of published statistics:
 *
 *   publish.c     the writer: describes metrics in the directory of a published pool
 *   find.c        finds the processes that have such a pool open
 *   reader.c      the reader: opens a pool of another process, updates, answers
 *   directory.c   reads the descriptions
 *   values.c      reads the values, into rows
 *   rows.c        the rows: words of the pages that have memory
 *   pages.c       finds the pages of the file that have memory
 *   parse.c       validates headers and records: every offset, length and count
 *   io.c          memory, bytes of the file and time of a reader
 *
 * Writer and reader synchronise by seqcounts: `changes` of the header, and a generation in each
 * record. src/publish/format.h has the layout of the file and the protocol.
 */
#ifndef PERCPU_PUBLISH_FLOOR_H
#define PERCPU_PUBLISH_FLOOR_H

#include "counter/counter.h"
#include "percpu/percpu.h"
#include "platform/platform.h"
#include "publish/format.h"

#include <percpu/publish.h>

/* Words of struct percpu_histogram_copy before its counts. */
#define PERCPU__HISTOGRAM_WORDS (sizeof(struct percpu_histogram_copy) / sizeof(uint64_t))

#define PERCPU__READER_MAX_BYTES ((uint64_t)1 << 30) /* default limit of a reader's memory */
#define PERCPU__BLOCK_BYTES      4096u /* units are read in such blocks; no page is smaller */
#define PERCPU__BLOCK_WORDS (PERCPU__BLOCK_BYTES / sizeof(uint64_t))
#define PERCPU__UNIT_BLOCKS (PERCPU_STRIDE / PERCPU__BLOCK_BYTES)

/* Returns: true if the scale, and 64 bits times the scale, are in the range of a double. */
static inline bool percpu__scale_is_valid(double scale)
{
	return scale >= 1e-30 && scale <= 1e30;
}

/* ---- parse.c ---- */

/* A metric in a reader. */
struct percpu__entry {
	struct percpu_metric metric; /* strings and labels point into the image */
	uint64_t record_at;          /* offset in the directory */
	uint64_t generation;
	uint64_t value;              /* offset of copy 0's words in the file */
	uint32_t nr_words;
	struct percpu_histogram_shape shape;
	uint32_t first_piece, nr_pieces;
	uint64_t first_label;
};

/* Returns: true if the header is valid for a file of file_bytes. */
bool percpu__header_is_valid(const struct percpu__file_header *header, uint64_t file_bytes);

/*
 * percpu__record_bytes - validates the length of the record at offset `at` of a directory of
 * used_bytes.
 * Returns: the length; 0 if it is invalid.
 */
uint64_t percpu__record_bytes(const struct percpu__record *record, uint64_t at,
			      uint64_t used_bytes);

/*
 * percpu__record_read - makes an entry, whose strings point into the record, of a record that is
 * not vacant.
 * Returns: true if the record is valid; it is not trusted in any respect.
 */
bool percpu__record_read(const struct percpu__file_header *header,
			 const struct percpu__record *record, struct percpu__entry *entry);

/* Reads the nr_labels labels of a record that percpu__record_read accepted. */
void percpu__record_labels(const struct percpu__record *record, struct percpu_label *labels);

/* ---- reader.c ---- */

/*
 * A piece is the part of an entry's words that lies in one block. The blocks at the same place of
 * all copies are a page. Pages where some copy has memory are numbered; an entry has pieces in
 * those only.
 */
struct percpu__piece {
	uint32_t page;
	uint32_t word;     /* the first, as index into the entry's words */
	bool is_histogram;
	uint16_t nr_words;
	uint16_t block;    /* of a unit */
	uint16_t at;       /* where the piece lies in the block, in words */
	uint16_t row_at;   /* where it lies in a row of the page, in words */
};

/*
 * A row has the words of all pieces of a page, summed over the copies of a domain. A hash table
 * finds it by both.
 */
struct percpu__row {
	uint32_t page, domain;
	uint64_t words; /* their index in the reader's words, plus 1; 0: no row */
};

/* Memory that grows; capacity is in bytes. */
struct percpu__buffer {
	void *memory;
	size_t capacity;
};

/*
 *	image     the directory as read; strings point into it
 *	entries   its metrics, in its order
 *	order     indexes of entries, sorted by the offset of their values
 *	pieces    of all entries; those of an entry are adjacent
 *	rows      and words: see above; words without a row are zero
 *	scratch   the words of a histogram of several pieces, for percpu_reader_words
 *
 * So the memory of a reader depends on what the file holds, not on what it claims to hold. Words
 * are 8-byte aligned in the file and in the buffer that receives them, so the kernel copies them
 * whole.
 */
struct percpu_reader {
	int fd;
	int watch; /* pidfd of the process; negative: not supported by this kernel */
	struct percpu__file_id fd_id,
		watch_id; /* the program may have closed them behind our back */
	struct percpu__file_header header;
	char *name;
	uint64_t image_bytes;
	size_t nr;
	uint64_t nr_labels;
	uint32_t nr_pieces, nr_pages, nr_rows;
	uint64_t nr_words;
	uint64_t rows_mask;
	struct percpu__buffer image, entries, labels, order, pieces, of_pages, runs, rows, words,
		scratch;
	uint32_t *domain_of; /* of each copy; NULL: all copies are one domain */
	uint32_t nr_domains;
	uint64_t *unit;
	uint64_t max_bytes;          /* of all buffers */
	uint64_t max_ns, deadline_ns; /* in CPU time of the thread; 0: no limit */
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
int percpu__buffer_reserve(struct percpu_reader *reader, struct percpu__buffer *buffer,
			   uint64_t bytes);

/* Frees the memory; the buffer is empty afterwards. */
void percpu__buffer_free(struct percpu__buffer *buffer);

/*
 * percpu__reader_read - reads bytes at offset of the file.
 * Returns: 0 if all of them were read; -EPROTO if the file ends before; otherwise -errno.
 */
int percpu__reader_read(const struct percpu_reader *reader, void *buffer, size_t bytes,
			uint64_t offset);

/* Returns: 0; -ETIME once the update takes longer than it may. */
int percpu__reader_has_time(const struct percpu_reader *reader);

/* ---- directory.c ---- */

/*
 * percpu__directory_read - reads the directory anew. *changes is the seqcount before, for
 * percpu__directory_keep_settled. It is odd if the directory changed during every attempt; then
 * each record was read under its own generation, and is consistent by itself.
 */
int percpu__directory_read(struct percpu_reader *reader, uint64_t *changes);

/*
 * percpu__directory_keep_settled - if the directory changed since percpu__directory_read, drops
 * entries whose record has changed: their values may be those of another metric.
 */
int percpu__directory_keep_settled(struct percpu_reader *reader, uint64_t changes);

/* ---- pages.c ---- */

/* Adjacent blocks of a copy that have memory. */
struct percpu__run {
	uint32_t copy;
	uint16_t first, nr;
};

/*
 * percpu__pages_find - finds the runs of all copies of the chunk in bytes [low, high) of its units
 * and stores them in reader->runs. If the system cannot tell holes, everything counts as memory.
 * Fills no hole.
 */
int percpu__pages_find(struct percpu_reader *reader, uint64_t chunk_at, uint64_t low, uint64_t high,
		       size_t *nr);

/* ---- rows.c ---- */

/* Removes all rows. */
void percpu__rows_clear(struct percpu_reader *reader);

/*
 * Reserves room for nr more rows; percpu__row_make then allocates words only.
 * Returns: 0, -ENOMEM, -E2BIG.
 */
int percpu__rows_prepare(struct percpu_reader *reader, size_t nr);

/*
 * Finds or makes the row of page and domain; *words are its nr_words words, zero if it is new.
 * Returns: 0, -ENOMEM, -E2BIG.
 */
int percpu__row_make(struct percpu_reader *reader, uint32_t page, uint32_t domain, size_t nr_words,
		     uint64_t **words);

/* Returns: the words of the row of page and domain; NULL if there is no such row. */
const uint64_t *percpu__row_find(const struct percpu_reader *reader, uint32_t page,
				 uint32_t domain);

/* ---- values.c ---- */

/* Reads the values of all entries. Returns: 0 or -errno. */
int percpu__values_read(struct percpu_reader *reader);

/* Returns: the words of an entry in a domain; a histogram's are valid until the next call. */
const uint64_t *percpu__values_of(const struct percpu_reader *reader,
				  const struct percpu__entry *entry, uint32_t domain);

#endif
