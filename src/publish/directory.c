/* SPDX-License-Identifier: MIT */
/*
 * Owns the reading of a directory: its image, and the entries made from it. The reading side of the
 * seqcounts: `changes` for the whole directory, or else the generation of each record. parse.c
 * validates records.
 */
#include <errno.h>
#include <stdlib.h>

#include "publish/publish.h"

#define TRIES 4 /* to read the directory without a change meanwhile */

static int read_image(struct percpu_reader *reader)
{
	struct percpu__file_facts facts;
	uint64_t used_bytes;
	int error = percpu__reader_read(reader, &used_bytes, sizeof(used_bytes),
					offsetof(struct percpu__file_header, used_bytes));

	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with take_record */
	if (!error)
		error = percpu__file_facts(reader->fd, &facts);
	if (error)
		return error;
	/* A publisher leaves at most a fifth of a record unwritten. */
	if (used_bytes > reader->header.directory_bytes ||
	    used_bytes - used_bytes / 5 > facts.held_bytes)
		return -EPROTO;
	reader->image_bytes = 0;
	if (!used_bytes)
		return 0;
	error = percpu__buffer_reserve(reader, &reader->image, used_bytes);
	if (!error)
		error = percpu__reader_read(reader, reader->image.memory, used_bytes,
					    reader->header.directory_offset);
	if (!error)
		reader->image_bytes = used_bytes;
	return error;
}

static int read_generation(const struct percpu_reader *reader, uint64_t at, uint64_t *generation)
{
	const uint64_t record_at = reader->header.directory_offset + at;
	const int error = percpu__reader_read(reader, generation, sizeof(*generation),
				     record_at + offsetof(struct percpu__record, generation));

	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with turn_generation */
	return error;
}

/* Reads one record again under its generation. If it changes meanwhile, it counts as vacant. */
static int reread_record(const struct percpu_reader *reader, struct percpu__record *record,
			 uint64_t at)
{
	const uint64_t bytes = record->bytes;
	uint64_t before, after = 0;
	int error = read_generation(reader, at, &before);

	if (!error)
		error = percpu__reader_read(reader, record, bytes,
					    reader->header.directory_offset + at);
	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with turn_generation */
	if (!error)
		error = read_generation(reader, at, &after);
	if (!error && record->bytes != bytes)
		error = -EPROTO;
	record->generation = before == after ? before : 1;
	return error;
}

static int add_entry(struct percpu_reader *reader, const struct percpu__record *record,
		     uint64_t at)
{
	struct percpu__entry *entry;
	int error =
		percpu__buffer_reserve(reader, &reader->entries, (reader->nr + 1) * sizeof(*entry));

	if (!error)
		error = percpu__buffer_reserve(reader, &reader->order,
					       (reader->nr + 1) * sizeof(uint32_t));
	if (error)
		return error;
	entry = percpu__reader_entries(reader) + reader->nr;
	if (!percpu__record_read(&reader->header, record, entry))
		return -EPROTO;
	error = percpu__buffer_reserve(
		reader, &reader->labels, /* one more, so that the array is never NULL */
		(reader->nr_labels + record->nr_labels + 1) * sizeof(struct percpu_label));
	if (error)
		return error;
	percpu__record_labels(record,
			      (struct percpu_label *)reader->labels.memory + reader->nr_labels);
	entry->record_at = at;
	entry->first_label = reader->nr_labels;
	reader->nr_labels += record->nr_labels;
	((uint32_t *)reader->order.memory)[reader->nr] = reader->nr;
	reader->nr++;
	return reader->nr % 256 ? 0 : percpu__reader_has_time(reader);
}

/* Sets pointers into buffers that no longer move. */
static void point_inside(const struct percpu_reader *reader, struct percpu__entry *entry)
{
	entry->metric.labels = (struct percpu_label *)reader->labels.memory + entry->first_label;
	entry->metric.shape = entry->metric.kind == PERCPU_METRIC_HISTOGRAM ? &entry->shape : NULL;
}

static int by_value(const void *a, const void *b, void *entries)
{
	const struct percpu__entry *x = (struct percpu__entry *)entries + *(const uint32_t *)a;
	const struct percpu__entry *y = (struct percpu__entry *)entries + *(const uint32_t *)b;

	return (x->value > y->value) - (x->value < y->value);
}

/* Sorts by the offset of the values; an honest publisher's are often sorted already. */
static void sort_entries(struct percpu_reader *reader)
{
	uint32_t *order = reader->order.memory;
	size_t i = 1;

	while (i < reader->nr && by_value(&order[i - 1], &order[i], reader->entries.memory) <= 0)
		i++;
	if (i < reader->nr)
		qsort_r(order, reader->nr, sizeof(*order), by_value, reader->entries.memory);
}

/* Makes entries of the image; one_by_one: rereads each record under its generation. */
static int read_entries(struct percpu_reader *reader, bool one_by_one)
{
	uint64_t bytes;

	reader->nr = reader->nr_labels = 0;
	for (uint64_t at = 0; at < reader->image_bytes; at += bytes) {
		struct percpu__record *record =
			(struct percpu__record *)((char *)reader->image.memory + at);
		int error = 0;

		bytes = reader->image_bytes - at < sizeof(*record)
				? 0
				: percpu__record_bytes(record, at, reader->image_bytes);
		if (!bytes)
			return -EPROTO;
		if (one_by_one)
			error = reread_record(reader, record, at);
		if (!error && record->generation % 2 == 0)
			error = add_entry(reader, record, at);
		if (error)
			return error;
	}
	for (size_t i = 0; i < reader->nr; i++)
		point_inside(reader, percpu__reader_entries(reader) + i);
	sort_entries(reader);
	return 0;
}

/* Reads the seqcount of the directory, before anything that is read later. */
static int read_changes(const struct percpu_reader *reader, uint64_t *changes)
{
	const int error = percpu__reader_read(reader, changes, sizeof(*changes),
					      offsetof(struct percpu__file_header, changes));

	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with begin_change and end_change */
	return error;
}

int percpu__directory_read(struct percpu_reader *reader, uint64_t *changes)
{
	bool is_still = false;
	int error = 0;

	for (unsigned i = 0; i < TRIES && !is_still && !error; i++) {
		uint64_t after = 0;

		error = read_changes(reader, changes);
		if (!error)
			error = read_image(reader);
		__atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with begin_change */
		if (!error)
			error = read_changes(reader, &after);
		is_still = *changes % 2 == 0 && *changes == after;
	}
	if (!is_still)
		*changes = 1;
	return error ? error : read_entries(reader, !is_still);
}

/* ---- after the values ---- */

/* A window of the directory, through which the current generations are read. */
struct window {
	uint64_t at, bytes;
};

static int look_again(const struct percpu_reader *reader, struct window *window, uint64_t at,
		      uint64_t *generation)
{
	const uint64_t from = at + offsetof(struct percpu__record, generation);

	if (from < window->at || from + sizeof(*generation) > window->at + window->bytes) {
		const uint64_t left = reader->image_bytes - from, unit = reader->header.unit_bytes;
		const uint64_t bytes = left < unit ? left : unit;
		int error = percpu__reader_has_time(reader);

		if (!error)
			error = percpu__reader_read(reader, reader->unit, bytes,
						    reader->header.directory_offset + from);
		if (error)
			return error;
		*window = (struct window){ from, bytes };
	}
	*generation = reader->unit[(from - window->at) / sizeof(*generation)];
	return 0;
}

int percpu__directory_keep_settled(struct percpu_reader *reader, uint64_t changes)
{
	struct window window = { 0, 0 };
	uint64_t now = changes + 1;
	size_t kept = 0;
	int error;

	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with begin_change */
	error = read_changes(reader, &now);
	if (error || (changes % 2 == 0 && now == changes))
		return error;
	for (size_t i = 0; i < reader->nr; i++) {
		struct percpu__entry *entry = percpu__reader_entries(reader) + i;
		uint64_t generation;

		error = look_again(reader, &window, entry->record_at, &generation);
		if (error)
			return error;
		if (generation != entry->generation)
			continue;
		percpu__reader_entries(reader)[kept] = *entry;
		point_inside(reader, percpu__reader_entries(reader) + kept++);
	}
	reader->nr = kept;
	return 0;
}
