/* SPDX-License-Identifier: MIT */
/*
 * Owns the reading of a directory: its image, and the entries that it makes. What a record may say parse.c knows.
 */
#include <errno.h>
#include <stdlib.h>

#include "publish/publish.h"

static int read_image(struct percpu_reader *reader)
{
	struct percpu__file_facts facts;
	uint64_t used_bytes;
	int error = percpu__reader_read(reader, &used_bytes, sizeof(used_bytes), offsetof(struct percpu__wire_header, used_bytes));

	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with take_record */
	if (!error)
		error = percpu__file_facts(reader->fd, &facts);
	if (error)
		return error;
	/* At most a fifth of a record is never written. */
	if (used_bytes > reader->header.directory_bytes || used_bytes / 2 > facts.held_bytes)
		return -EPROTO;
	reader->image_bytes = 0;
	if (!used_bytes)
		return 0;
	error = percpu__reader_room(&reader->image, &reader->image_capacity, used_bytes);
	if (!error)
		error = percpu__reader_read(reader, reader->image, used_bytes, reader->header.directory_offset);
	if (!error)
		reader->image_bytes = used_bytes;
	return error;
}

static int read_generation(const struct percpu_reader *reader, uint64_t at, uint64_t *generation)
{
	const uint64_t record_at = reader->header.directory_offset + at;
	const int error = percpu__reader_read(reader, generation, sizeof(*generation),
				     record_at + offsetof(struct percpu__wire_record, generation));

	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with turn_generation */
	return error;
}

/* Reads one record again, so that it is whole; one that changes meanwhile is made vacant. */
static int reread_record(const struct percpu_reader *reader, struct percpu__wire_record *record, uint64_t at)
{
	const uint64_t bytes = record->bytes;
	uint64_t before, after = 0;
	int error = read_generation(reader, at, &before);

	if (!error)
		error = percpu__reader_read(reader, record, bytes, reader->header.directory_offset + at);
	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with turn_generation */
	if (!error)
		error = read_generation(reader, at, &after);
	if (!error && record->bytes != bytes)
		error = -EPROTO;
	record->generation = before == after ? before : 1;
	return error;
}

static int add_entry(struct percpu_reader *reader, const struct percpu__wire_record *record, uint64_t at)
{
	struct percpu__entry *entry;

	if (percpu__reader_room(&reader->entries, &reader->entries_capacity, (reader->nr + 1) * sizeof(*entry)) < 0 ||
	    percpu__reader_room(&reader->order, &reader->order_capacity, (reader->nr + 1) * sizeof(*reader->order)) < 0)
		return -ENOMEM;
	entry = &reader->entries[reader->nr];
	if (!percpu__record_read(&reader->header, record, entry))
		return -EPROTO;
	if (percpu__reader_room(&reader->labels, &reader->labels_capacity, /* one more, so that there always is such an array */
		      (reader->nr_labels + record->nr_labels + 1) * sizeof(*reader->labels)) < 0)
		return -ENOMEM;
	percpu__record_labels(record, reader->labels + reader->nr_labels);
	entry->record_at = at;
	entry->first_label = reader->nr_labels;
	entry->first_word = reader->nr_words;
	reader->nr_labels += record->nr_labels;
	reader->nr_words += record->nr_words;
	reader->order[reader->nr] = reader->nr;
	reader->nr++;
	return reader->nr_words * reader->nr_groups > PERCPU__READER_MAX_BYTES / sizeof(uint64_t) ? -E2BIG : 0;
}

/* Once nothing moves any more. */
static void point_inside(const struct percpu_reader *reader, struct percpu__entry *entry)
{
	entry->metric.labels = reader->labels + entry->first_label;
	entry->metric.shape = entry->metric.kind == PERCPU_METRIC_HISTOGRAM ? &entry->shape : NULL;
}

static int by_value(const void *a, const void *b, void *entries)
{
	const struct percpu__entry *x = (struct percpu__entry *)entries + *(const uint32_t *)a;
	const struct percpu__entry *y = (struct percpu__entry *)entries + *(const uint32_t *)b;

	return (x->value > y->value) - (x->value < y->value);
}

/* Finds the metrics of the image. */
static int read_entries(struct percpu_reader *reader, bool one_by_one)
{
	uint64_t bytes;

	reader->nr = reader->nr_labels = reader->nr_words = 0;
	for (uint64_t at = 0; at < reader->image_bytes; at += bytes) {
		struct percpu__wire_record *record = (struct percpu__wire_record *)((char *)reader->image + at);
		int error = 0;

		bytes = reader->image_bytes - at < sizeof(*record) ? 0
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
		point_inside(reader, &reader->entries[i]);
	if (reader->nr)
		qsort_r(reader->order, reader->nr, sizeof(*reader->order), by_value, reader->entries);
	return 0;
}

int percpu__directory_read(struct percpu_reader *reader, bool one_by_one)
{
	const int error = read_image(reader);

	return error ? error : read_entries(reader, one_by_one);
}

int percpu__directory_drop_changed(struct percpu_reader *reader)
{
	size_t kept = 0;

	for (size_t i = 0; i < reader->nr; i++) {
		uint64_t generation;
		const int error = read_generation(reader, reader->entries[i].record_at, &generation);

		if (error)
			return error;
		if (generation != reader->entries[i].generation)
			continue;
		reader->entries[kept] = reader->entries[i];
		point_inside(reader, &reader->entries[kept++]);
	}
	reader->nr = kept;
	return 0;
}
