/* SPDX-License-Identifier: MIT */
/*
 * Owns the search for the pages of a chunk that have memory, past the holes of copies that were
 * never touched. So the cost of reading a file depends on what it holds, not on the size that it
 * claims.
 */
#include <errno.h>

#include "publish/publish.h"

/* The part of the units of one chunk that is searched. */
struct view {
	struct percpu_reader *reader;
	uint64_t chunk_at, low, high;
	size_t nr; /* runs so far */
};

static int add_run(struct view *view, uint32_t copy, uint64_t from, uint64_t to)
{
	struct percpu_reader *reader = view->reader;
	struct percpu__run *runs;
	int error;

	if (reader->domain_of && reader->domain_of[copy] >= reader->nr_domains)
		return 0;
	error = percpu__buffer_reserve(reader, &reader->runs, (view->nr + 1) * sizeof(*runs));
	if (error)
		return error;
	runs = reader->runs.memory;
	runs[view->nr].copy = copy;
	runs[view->nr].first = from / PERCPU__BLOCK_BYTES;
	runs[view->nr].nr =
		(to + PERCPU__BLOCK_BYTES - 1) / PERCPU__BLOCK_BYTES - from / PERCPU__BLOCK_BYTES;
	view->nr++;
	return 0;
}

/* For systems that cannot tell holes from memory, such as gVisor. */
static int take_all(struct view *view)
{
	int error = 0;

	view->nr = 0;
	for (uint32_t copy = 0; copy < view->reader->header.nr_copies && !error; copy++)
		error = add_run(view, copy, view->low, view->high);
	return error;
}

/*
 * Adds the run that begins at or behind offset data in the same copy. *next is where the search
 * goes on.
 */
static int take_run(struct view *view, uint64_t data, uint64_t *next)
{
	const uint64_t unit_bytes = view->reader->header.unit_bytes;
	const uint32_t copy = (data - view->chunk_at) / unit_bytes;
	const uint64_t unit_at = view->chunk_at + copy * unit_bytes;
	const int64_t hole = percpu__seek_hole(view->reader->fd, data);
	const uint64_t from = data > unit_at + view->low ? data - unit_at : view->low;
	uint64_t to = view->high;

	if (hole >= 0 && (uint64_t)hole < unit_at + view->high)
		to = hole - unit_at;
	*next = to < view->high && from < to ? unit_at + to : unit_at + unit_bytes + view->low;
	return from < to ? add_run(view, copy, from, to) : 0;
}

int percpu__pages_find(struct percpu_reader *reader, uint64_t chunk_at, uint64_t low, uint64_t high,
		       size_t *nr)
{
	struct view view = { .reader = reader, .chunk_at = chunk_at, .low = low, .high = high };
	const uint64_t end = chunk_at + reader->header.nr_copies * reader->header.unit_bytes;
	uint64_t next = chunk_at + low;
	int error = 0;

	while (!error && next < end) {
		const int64_t data = percpu__seek_data(reader->fd, next);

		if (data == -ENXIO || (data >= 0 && (uint64_t)data >= end))
			break;
		if (data < 0) {
			error = take_all(&view);
			break;
		}
		error = take_run(&view, data, &next);
		if (!error)
			error = percpu__reader_has_time(reader);
	}
	*nr = view.nr;
	return error;
}
