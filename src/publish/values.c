/* SPDX-License-Identifier: MIT */
/*
 * Owns the reading of values: chunk by chunk, block by block of the copies that have memory, into
 * rows of words.
 *
 *	entries       |  a  |      b       |  c  |        (by offset in a copy)
 *	pages            0          1            2        (1 has memory in no copy: no number, no piece)
 *	row of 0, g   | a | b |                           (sums over the copies of domain g)
 *
 * Metrics may overlap; each has its own words in a row, because sums and maxima are merged
 * differently. The words that the metrics of a page have in total are bounded, so a row is at most
 * NAMES_PER_WORD times as large as its page.
 */
#include <errno.h>
#include <string.h>

#include "publish/publish.h"

#define NAMES_PER_WORD 16u /* words of metrics in a page, for each word of the page */
#define NO_PAGE UINT32_MAX

/* The entries order[first..end) have their values in one chunk, bytes [low, high) of its units. */
struct part {
	size_t first, end;
	uint64_t chunk_at; /* offset in the file */
	uint64_t low, high;
};

/* The pages of a part; the pieces of page b are of_pages[first[b]..first[b + 1]). */
struct pages {
	uint32_t number[PERCPU__UNIT_BLOCKS];
	uint32_t first[PERCPU__UNIT_BLOCKS + 1];
	uint32_t row_words[PERCPU__UNIT_BLOCKS];
	uint32_t first_piece; /* of the part */
};

static struct percpu__entry *entry_at(const struct percpu_reader *reader, size_t place)
{
	return &percpu__reader_entries(reader)[((uint32_t *)reader->order.memory)[place]];
}

static struct part part_from(const struct percpu_reader *reader, size_t first)
{
	const uint64_t chunk_bytes = reader->header.nr_copies * reader->header.unit_bytes;
	const uint64_t start = reader->header.chunks_offset;
	struct part part = { .first = first, .end = first, .low = UINT64_MAX };

	part.chunk_at =
		start + (entry_at(reader, first)->value - start) / chunk_bytes * chunk_bytes;
	for (; part.end < reader->nr; part.end++) {
		const struct percpu__entry *entry = entry_at(reader, part.end);
		const uint64_t at = entry->value - part.chunk_at,
			       end = at + entry->nr_words * sizeof(uint64_t);

		if (at >= chunk_bytes)
			break;
		part.low = at < part.low ? at : part.low;
		part.high = end > part.high ? end : part.high;
	}
	return part;
}

/* ---- pages and pieces ---- */

static int add_piece(struct percpu_reader *reader, struct pages *pages, struct percpu__piece piece,
		     uint32_t block)
{
	const int error = percpu__buffer_reserve(reader, &reader->pieces,
						 (reader->nr_pieces + 1) * sizeof(piece));

	if (error)
		return error;
	if (pages->row_words[block] + piece.nr_words > NAMES_PER_WORD * PERCPU__BLOCK_WORDS)
		return -E2BIG;
	piece.page = pages->number[block];
	piece.row_at = pages->row_words[block];
	pages->row_words[block] += piece.nr_words;
	pages->first[block + 1]++;
	((struct percpu__piece *)reader->pieces.memory)[reader->nr_pieces++] = piece;
	return 0;
}

/* Makes the pieces of one entry, in pages that have numbers. */
static int split_entry(struct percpu_reader *reader, struct pages *pages, const struct part *part,
		       size_t place)
{
	struct percpu__entry *entry = entry_at(reader, place);
	const uint64_t start = (entry->value - part->chunk_at) / sizeof(uint64_t);
	uint32_t word = 0;

	entry->first_piece = reader->nr_pieces;
	while (word < entry->nr_words) {
		const uint32_t block = (start + word) / PERCPU__BLOCK_WORDS,
			       at = (start + word) % PERCPU__BLOCK_WORDS;
		const uint32_t left = entry->nr_words - word, fits = PERCPU__BLOCK_WORDS - at;
		const struct percpu__piece piece = {
			.is_histogram = entry->metric.shape, .word = word, .block = block, .at = at,
			.nr_words = left < fits ? left : fits,
		};
		const int error = pages->number[block] == NO_PAGE
					  ? 0
					  : add_piece(reader, pages, piece, block);

		if (error)
			return error;
		word += piece.nr_words;
	}
	entry->nr_pieces = reader->nr_pieces - entry->first_piece;
	return 0;
}

static void number_pages(struct percpu_reader *reader, struct pages *pages, size_t nr_runs)
{
	const struct percpu__run *runs = reader->runs.memory;

	memset(pages, 0, sizeof(*pages));
	memset(pages->number, 0xff, sizeof(pages->number));
	for (size_t i = 0; i < nr_runs; i++)
		for (uint32_t block = runs[i].first; block < (uint32_t)runs[i].first + runs[i].nr;
		     block++)
			if (pages->number[block] == NO_PAGE)
				pages->number[block] = reader->nr_pages++;
}

/* Sorts the pieces of the part by page. */
static int sort_pieces(struct percpu_reader *reader, struct pages *pages)
{
	const uint32_t first = pages->first_piece, nr = reader->nr_pieces - first;
	const int error = percpu__buffer_reserve(reader, &reader->of_pages, nr * sizeof(uint32_t));
	const struct percpu__piece *pieces = reader->pieces.memory;
	uint32_t *of_pages = reader->of_pages.memory, next[PERCPU__UNIT_BLOCKS];

	if (error)
		return error;
	for (uint32_t block = 0; block < PERCPU__UNIT_BLOCKS; block++) {
		pages->first[block + 1] += pages->first[block];
		next[block] = pages->first[block];
	}
	for (uint32_t i = first; i < first + nr; i++)
		of_pages[next[pieces[i].block]++] = i;
	return 0;
}

static int make_pieces(struct percpu_reader *reader, struct pages *pages, const struct part *part,
		       size_t nr_runs)
{
	int error = 0;

	number_pages(reader, pages, nr_runs);
	pages->first_piece = reader->nr_pieces;
	for (size_t i = part->first; i < part->end && !error; i++)
		error = split_entry(reader, pages, part, i);
	return error ? error : sort_pieces(reader, pages);
}

/* ---- words ---- */

static bool is_zero(const uint64_t *words)
{
	uint64_t any = 0;

	for (size_t i = 0; i < PERCPU__BLOCK_WORDS; i++)
		any |= words[i];
	return !any;
}

/* Merges the words of a piece, in a block of one copy or in a row, into `to`. */
static void merge(const struct percpu__piece *piece, uint64_t *to, const uint64_t *from)
{
	for (uint32_t i = 0; i < piece->nr_words; i++) {
		const size_t at = (piece->word + i) * sizeof(uint64_t);

		if (piece->is_histogram &&
		    (at == offsetof(struct percpu_histogram_copy, max) ||
		     at == offsetof(struct percpu_histogram_copy, inverse_min)))
			to[i] = from[i] > to[i] ? from[i] : to[i];
		else if (!piece->is_histogram ||
			 at != offsetof(struct percpu_histogram_copy, reserved))
			to[i] += from[i];
	}
}

/* Merges the words of one block of one copy into the row of its page and domain. */
static int add_block(struct percpu_reader *reader, const struct pages *pages, uint32_t block,
		     const uint64_t *words, uint32_t domain)
{
	const uint32_t *of_pages = reader->of_pages.memory;
	const struct percpu__piece *pieces = reader->pieces.memory;
	uint64_t *row;
	int error;

	if (!pages->row_words[block] || is_zero(words))
		return 0;
	error = percpu__row_make(reader, pages->number[block], domain, pages->row_words[block],
				 &row);
	for (uint32_t i = pages->first[block]; i < pages->first[block + 1] && !error; i++) {
		const struct percpu__piece *piece = &pieces[of_pages[i]];

		merge(piece, row + piece->row_at, words + piece->at);
	}
	return error;
}

static int read_run(struct percpu_reader *reader, const struct pages *pages, uint64_t chunk_at,
		    struct percpu__run run)
{
	const uint32_t domain = reader->domain_of ? reader->domain_of[run.copy] : 0;
	const uint64_t unit_at = chunk_at + run.copy * reader->header.unit_bytes;
	int error = percpu__reader_has_time(reader);

	if (!error)
		error = percpu__rows_prepare(reader, run.nr);
	if (!error)
		error = percpu__reader_read(reader, reader->unit,
					    (size_t)run.nr * PERCPU__BLOCK_BYTES,
					    unit_at + (uint64_t)run.first * PERCPU__BLOCK_BYTES);
	for (uint32_t i = 0; i < run.nr && !error; i++)
		error = add_block(reader, pages, run.first + i,
				  reader->unit + i * PERCPU__BLOCK_WORDS, domain);
	return error;
}

static int read_part(struct percpu_reader *reader, const struct part *part)
{
	struct pages pages;
	size_t nr_runs;
	int error = percpu__pages_find(reader, part->chunk_at, part->low, part->high, &nr_runs);

	if (!error)
		error = make_pieces(reader, &pages, part, nr_runs);
	for (size_t i = 0; i < nr_runs && !error; i++)
		error = read_run(reader, &pages, part->chunk_at,
				 ((struct percpu__run *)reader->runs.memory)[i]);
	return error;
}

/* Reserves scratch for the largest histogram, so that percpu__values_of cannot fail. */
static int make_scratch(struct percpu_reader *reader)
{
	uint32_t nr_words = 0;

	for (size_t i = 0; i < reader->nr; i++) {
		const struct percpu__entry *entry = &percpu__reader_entries(reader)[i];

		nr_words = entry->nr_words > nr_words ? entry->nr_words : nr_words;
	}
	return percpu__buffer_reserve(reader, &reader->scratch, nr_words * sizeof(uint64_t));
}

int percpu__values_read(struct percpu_reader *reader)
{
	struct part part;
	int error = make_scratch(reader);

	reader->nr_pieces = reader->nr_pages = 0;
	percpu__rows_clear(reader);
	for (size_t i = 0; i < reader->nr && !error; i = part.end) {
		part = part_from(reader, i);
		error = read_part(reader, &part);
	}
	return error;
}

const uint64_t *percpu__values_of(const struct percpu_reader *reader,
				  const struct percpu__entry *entry, uint32_t domain)
{
	static const uint64_t zero;
	const struct percpu__piece *pieces = reader->pieces.memory; /* NULL if no entry has any */
	const bool is_word = entry->nr_words == 1;
	uint64_t *words = reader->scratch.memory;

	if (!is_word)
		memset(words, 0, entry->nr_words * sizeof(*words));
	for (uint32_t i = entry->first_piece; i < entry->first_piece + entry->nr_pieces; i++) {
		const uint64_t *row = percpu__row_find(reader, pieces[i].page, domain);

		if (row && is_word)
			return row + pieces[i].row_at;
		if (row)
			merge(&pieces[i], words + pieces[i].word, row + pieces[i].row_at);
	}
	return is_word ? &zero : words;
}
