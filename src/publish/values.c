/* SPDX-License-Identifier: MIT */
/*
 * Owns the reading of values: chunk by chunk, copy by copy, past the holes of copies that nobody touched, into a
 * row of words for each group of copies.
 */
#include <errno.h>
#include <string.h>

#include "publish/publish.h"

#define NAMES_PER_WORD 8u /* descriptions of a chunk's words, for each word that it has */

/* The entries order[first..end) have their values in one chunk, bytes [low, high) of its units. */
struct part {
	size_t first, end;
	uint64_t chunk_at; /* offset in the file */
	uint64_t low, high;
};

static struct part part_from(const struct percpu_reader *reader, size_t first)
{
	const uint64_t chunk_bytes = reader->header.nr_copies * reader->header.unit_bytes;
	const uint64_t start = reader->header.chunks_offset;
	struct part part = { .first = first, .end = first, .low = UINT64_MAX };

	part.chunk_at = start + (reader->entries[reader->order[first]].value - start) / chunk_bytes * chunk_bytes;
	for (; part.end < reader->nr; part.end++) {
		const struct percpu__entry *entry = &reader->entries[reader->order[part.end]];
		const uint64_t at = entry->value - part.chunk_at, end = at + entry->nr_words * sizeof(uint64_t);

		if (at >= chunk_bytes)
			break;
		part.low = at < part.low ? at : part.low;
		part.high = end > part.high ? end : part.high;
	}
	return part;
}

static bool is_too_much(const struct percpu_reader *reader, struct part part)
{
	uint64_t nr_words = 0;

	for (size_t i = part.first; i < part.end; i++)
		nr_words += reader->entries[reader->order[i]].nr_words;
	return nr_words > NAMES_PER_WORD * PERCPU_STRIDE / sizeof(uint64_t);
}

static void merge_histogram(struct percpu_histogram_copy *to, const struct percpu_histogram_copy *from,
			    uint32_t nr_buckets)
{
	to->sum += from->sum;
	to->max = from->max > to->max ? from->max : to->max;
	to->inverse_min = from->inverse_min > to->inverse_min ? from->inverse_min : to->inverse_min;
	for (uint32_t i = 0; i < nr_buckets; i++)
		to->counts[i] += from->counts[i];
}

static void add_words(struct percpu_reader *reader, struct part part, uint32_t group)
{
	uint64_t *row = reader->words + group * reader->nr_words;

	for (size_t i = part.first; i < part.end; i++) {
		const struct percpu__entry *entry = &reader->entries[reader->order[i]];
		const uint64_t *from = reader->unit + (entry->value - part.chunk_at) / sizeof(uint64_t);

		if (entry->metric.kind == PERCPU_METRIC_HISTOGRAM)
			merge_histogram((void *)(row + entry->first_word), (const void *)from, entry->shape.nr_buckets);
		else
			row[entry->first_word] += *from;
	}
}

static uint32_t group_of(const struct percpu_reader *reader, uint64_t copy)
{
	return reader->group_of ? reader->group_of[copy] : 0;
}

/* The part of a copy that has data from from on, of the unit at unit_at. What is before it is a hole. */
static int read_copy(struct percpu_reader *reader, struct part part, uint64_t unit_at, uint64_t from, uint32_t group)
{
	const uint64_t start = from > unit_at + part.low ? from - unit_at : part.low;
	int error;

	if (start >= part.high || group >= reader->nr_groups)
		return 0;
	memset((char *)reader->unit + part.low, 0, start - part.low);
	error = percpu__reader_read(reader, (char *)reader->unit + start, part.high - start, unit_at + start);
	if (!error)
		add_words(reader, part, group);
	return error;
}

static int read_part(struct percpu_reader *reader, struct part part)
{
	const uint64_t unit_bytes = reader->header.unit_bytes;
	uint64_t copy = 0;

	while (copy < reader->header.nr_copies) {
		const int64_t data = percpu__find(reader->fd, PERCPU__FIND_DATA, part.chunk_at + copy * unit_bytes + part.low);
		int error;

		if (data < 0)
			return data == -ENXIO ? 0 : (int)data;
		copy = (data - part.chunk_at) / unit_bytes;
		if (copy >= reader->header.nr_copies)
			break;
		error = read_copy(reader, part, part.chunk_at + copy * unit_bytes, data, group_of(reader, copy));
		if (error)
			return error;
		copy++;
	}
	return 0;
}

int percpu__values_read(struct percpu_reader *reader)
{
	const uint64_t bytes = reader->nr_words * reader->nr_groups * sizeof(uint64_t);
	int error = percpu__reader_room(&reader->words, &reader->words_capacity, bytes);
	struct part part;

	if (error || !reader->nr)
		return error;
	memset(reader->words, 0, bytes);
	for (size_t i = 0; i < reader->nr && !error; i = part.end) {
		part = part_from(reader, i);
		error = is_too_much(reader, part) ? -E2BIG : read_part(reader, part);
	}
	return error;
}
