/* SPDX-License-Identifier: MIT */
/*
 * Owns the reading of a pool of another process, which may change it meanwhile, die in the middle, or be
 * hostile. Everything is read by pread into memory of our own and judged there (parse.c): no page is mapped,
 * so none is made and none can be cut off under us. Nothing is waited for: after a few tries for a moment in which
 * the directory stands still, records are read one by one, and those that changed meanwhile are left out.
 *
 *	image     the directory as it was read; strings point into it
 *	entries   its metrics, in its order
 *	order     the same by the place of their values
 *	words     their values: for each group one row, an entry's words in it at first_word
 *
 * Words are 8-byte aligned in the file and in the buffer they are read into, where the kernel copies them whole.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "publish/publish.h"

#define TRIES 16
#define NAMES_PER_WORD 8u /* descriptions of a chunk's words, for each word that it has */

struct percpu_reader {
	int fd;
	int watch; /* of the process; negative: this kernel does not tell */
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
static int make_room(void *memory, size_t *capacity, uint64_t bytes)
{
	void **at = memory;
	const uint64_t wanted = bytes > *capacity + *capacity / 2 ? bytes : *capacity + *capacity / 2;
	void *grown;

	if (bytes <= *capacity)
		return 0;
	grown = realloc(*at, wanted);
	if (!grown)
		return -ENOMEM;
	*at = grown;
	*capacity = wanted;
	return 0;
}

/* All bytes or an error: a file that ends early was cut off. */
static int read_whole(const struct percpu_reader *reader, void *buffer, size_t bytes, uint64_t offset)
{
	const ssize_t got = percpu__read_at(reader->fd, buffer, bytes, offset);

	return got < 0 ? (int)got : (size_t)got < bytes ? -EPROTO : 0;
}

/* ---- the directory ---- */

/* Returns: 0, and what the header says of changes; later reads are later. */
static int settled_changes(const struct percpu_reader *reader, uint64_t *changes)
{
	const int error = read_whole(reader, changes, sizeof(*changes), offsetof(struct percpu__wire_header, changes));

	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with begin_change and end_change */
	return error;
}

static int read_image(struct percpu_reader *reader)
{
	struct percpu__file_facts facts;
	uint64_t used_bytes;
	int error = read_whole(reader, &used_bytes, sizeof(used_bytes), offsetof(struct percpu__wire_header, used_bytes));

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
	error = make_room(&reader->image, &reader->image_capacity, used_bytes);
	if (!error)
		error = read_whole(reader, reader->image, used_bytes, reader->header.directory_offset);
	if (!error)
		reader->image_bytes = used_bytes;
	return error;
}

static int read_generation(const struct percpu_reader *reader, uint64_t at, uint64_t *generation)
{
	const uint64_t record_at = reader->header.directory_offset + at;
	const int error = read_whole(reader, generation, sizeof(*generation),
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
		error = read_whole(reader, record, bytes, reader->header.directory_offset + at);
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

	if (make_room(&reader->entries, &reader->entries_capacity, (reader->nr + 1) * sizeof(*entry)) < 0 ||
	    make_room(&reader->order, &reader->order_capacity, (reader->nr + 1) * sizeof(*reader->order)) < 0)
		return -ENOMEM;
	entry = &reader->entries[reader->nr];
	if (!percpu__record_read(&reader->header, record, entry))
		return -EPROTO;
	if (make_room(&reader->labels, &reader->labels_capacity, /* one more, so that there always is such an array */
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

/* Finds the metrics of the image; one_by_one: it may be torn, so each record is read again. */
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

/* Entries whose description is another by now may have had their values read from another's. */
static int drop_changed(struct percpu_reader *reader)
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

/* ---- values ---- */

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
	error = read_whole(reader, (char *)reader->unit + start, part.high - start, unit_at + start);
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

static int read_values(struct percpu_reader *reader)
{
	const uint64_t bytes = reader->nr_words * reader->nr_groups * sizeof(uint64_t);
	int error = make_room(&reader->words, &reader->words_capacity, bytes);
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

/* ---- updates ---- */

static int read_all(struct percpu_reader *reader, bool one_by_one)
{
	int error = read_image(reader);

	if (!error)
		error = read_entries(reader, one_by_one);
	if (!error)
		error = read_values(reader);
	return error;
}

/* Returns: whether the directory stood still, and then *error is what came of it. */
static bool read_still(struct percpu_reader *reader, int *error)
{
	uint64_t before, after;

	*error = settled_changes(reader, &before);
	if (*error)
		return true;
	if (before % 2)
		return false;
	*error = read_all(reader, false);
	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with begin_change */
	return settled_changes(reader, &after) || before == after;
}

int percpu_reader_update(struct percpu_reader *reader)
{
	bool is_still = false;
	int error = 0;

	for (unsigned i = 0; i < TRIES && !is_still; i++)
		is_still = read_still(reader, &error);
	if (!is_still) {
		error = read_all(reader, true);
		if (!error)
			error = drop_changed(reader);
	}
	if (error)
		reader->nr = 0;
	else if (reader->watch >= 0 && percpu__has_ended(reader->watch))
		error = -ESRCH;
	return error;
}

/* ---- readers ---- */

static int read_header(struct percpu_reader *reader)
{
	struct percpu__file_facts facts;
	int error = percpu__file_facts(reader->fd, &facts);

	if (!error)
		error = read_whole(reader, &reader->header, sizeof(reader->header), 0);
	if (error)
		return error;
	/* Everything else was there before the magic number; pairs with percpu__shared_create. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	error = read_whole(reader, (char *)&reader->header + sizeof(reader->header.magic),
			   sizeof(reader->header) - sizeof(reader->header.magic), sizeof(reader->header.magic));
	if (error)
		return error;
	return percpu__header_is_valid(&reader->header, facts.bytes) ? 0 : -EPROTO;
}

static int read_name(struct percpu_reader *reader)
{
	struct percpu__file_facts facts;
	const uint64_t bytes = reader->header.name_bytes;
	int error = percpu__file_facts(reader->fd, &facts);

	if (error)
		return error;
	if (bytes > facts.held_bytes)
		return -EPROTO;
	reader->name = malloc(bytes + 1);
	if (!reader->name)
		return -ENOMEM;
	reader->name[bytes] = '\0';
	return read_whole(reader, reader->name, bytes, reader->header.name_offset);
}

struct percpu_reader *percpu_reader_open(pid_t pid, int fd)
{
	struct percpu_reader *reader = calloc(1, sizeof(*reader));
	int error = -ENOMEM;
	char path[64];

	if (!reader)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	reader->nr_groups = 1;
	reader->watch = percpu__watch_process(pid);
	reader->fd = percpu__open_memfd(path);
	error = reader->fd < 0 ? reader->fd : read_header(reader);
	if (!error)
		error = read_name(reader);
	if (!error && !(reader->unit = aligned_alloc(percpu__page_bytes(), reader->header.unit_bytes)))
		error = -ENOMEM;
	if (error) {
		percpu_reader_close(reader);
		errno = error == -ESRCH ? ENOENT : -error;
		return NULL;
	}
	return reader;
}

void percpu_reader_close(struct percpu_reader *reader)
{
	if (!reader)
		return;
	percpu__close(reader->fd);
	percpu__close(reader->watch);
	free(reader->name);
	free(reader->image);
	free(reader->entries);
	free(reader->labels);
	free(reader->order);
	free(reader->words);
	free(reader->group_of);
	free(reader->unit);
	free(reader);
}

int percpu_reader_group(struct percpu_reader *reader, const uint32_t *group_of_copy, uint32_t nr_groups)
{
	const size_t bytes = reader->header.nr_copies * sizeof(*group_of_copy);
	uint32_t *copied = NULL;

	if (group_of_copy && !nr_groups)
		return -EINVAL;
	if (group_of_copy) {
		copied = malloc(bytes);
		if (!copied)
			return -ENOMEM;
		memcpy(copied, group_of_copy, bytes);
	}
	free(reader->group_of);
	reader->group_of = copied;
	reader->nr_groups = copied ? nr_groups : 1;
	reader->nr = 0;
	return 0;
}

const char *percpu_reader_name(const struct percpu_reader *reader)
{
	return reader->name;
}

unsigned percpu_reader_nr_copies(const struct percpu_reader *reader)
{
	return reader->header.nr_copies;
}

pid_t percpu_reader_creator(const struct percpu_reader *reader)
{
	return reader->header.pid;
}

size_t percpu_reader_nr(const struct percpu_reader *reader)
{
	return reader->nr;
}

const struct percpu_metric *percpu_reader_metric(const struct percpu_reader *reader, size_t i)
{
	return &reader->entries[i].metric;
}

const uint64_t *percpu_reader_words(const struct percpu_reader *reader, size_t i, uint32_t group, size_t *nr)
{
	if (nr)
		*nr = reader->entries[i].nr_words;
	return reader->words + group * reader->nr_words + reader->entries[i].first_word;
}

uint64_t percpu_reader_held_bytes(const struct percpu_reader *reader)
{
	struct percpu__file_facts facts = { .held_bytes = 0 };

	percpu__file_facts(reader->fd, &facts);
	return facts.held_bytes;
}

size_t percpu_reader_own_bytes(const struct percpu_reader *reader)
{
	return reader->image_capacity + reader->entries_capacity + reader->labels_capacity + reader->order_capacity +
	       reader->words_capacity + reader->header.unit_bytes;
}
