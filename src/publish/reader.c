/* SPDX-License-Identifier: MIT */
/*
 * Owns readers of a pool of another process, which may change it meanwhile, die in the middle, or be hostile: when
 * they are opened, brought up to date, asked. Everything is read by pread into memory of our own and judged there: no
 * page is mapped, so none is made and none can be cut off under us. Nothing is waited for: after a few tries for a
 * moment in which the directory stands still, records are read one by one, and those that changed meanwhile are left out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "publish/publish.h"

#define TRIES 16

int percpu__reader_room(void *memory, size_t *capacity, uint64_t bytes)
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

int percpu__reader_read(const struct percpu_reader *reader, void *buffer, size_t bytes, uint64_t offset)
{
	const ssize_t got = percpu__read_at(reader->fd, buffer, bytes, offset);

	return got < 0 ? (int)got : (size_t)got < bytes ? -EPROTO : 0;
}

/* ---- updates ---- */

/* Returns: 0, and what the header says of changes; later reads are later. */
static int settled_changes(const struct percpu_reader *reader, uint64_t *changes)
{
	const int error = percpu__reader_read(reader, changes, sizeof(*changes), offsetof(struct percpu__wire_header, changes));

	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* pairs with begin_change and end_change */
	return error;
}

static int read_all(struct percpu_reader *reader, bool one_by_one)
{
	const int error = percpu__directory_read(reader, one_by_one);

	return error ? error : percpu__values_read(reader);
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
	int error = percpu__file_is(reader->fd, reader->fd_id) ? 0 : -EBADF;

	if (error) {
		reader->nr = 0;
		return error;
	}
	for (unsigned i = 0; i < TRIES && !is_still; i++)
		is_still = read_still(reader, &error);
	if (!is_still) {
		error = read_all(reader, true);
		if (!error)
			error = percpu__directory_drop_changed(reader);
	}
	if (error)
		reader->nr = 0;
	else if (percpu__file_is(reader->watch, reader->watch_id) && percpu__has_ended(reader->watch))
		error = -ESRCH;
	return error;
}

/* ---- readers ---- */

static int read_header(struct percpu_reader *reader)
{
	struct percpu__file_facts facts;
	int error = percpu__file_facts(reader->fd, &facts);

	if (!error)
		error = percpu__reader_read(reader, &reader->header, sizeof(reader->header), 0);
	if (error)
		return error;
	/* Everything else was there before the magic number; pairs with percpu__shared_create. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	error = percpu__reader_read(reader, (char *)&reader->header + sizeof(reader->header.magic),
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
	return percpu__reader_read(reader, reader->name, bytes, reader->header.name_offset);
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
	percpu__file_identify(reader->watch, &reader->watch_id);
	error = reader->fd < 0 ? reader->fd : percpu__file_identify(reader->fd, &reader->fd_id);
	if (!error)
		error = read_header(reader);
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

/*
 * Before Linux 6.9 the watches of all processes, and more, are one file. So they are told apart by what lies beside: a
 * program that closes what it does not know closes both.
 */
static void close_files(const struct percpu_reader *reader)
{
	if (reader->fd >= 0 && !percpu__file_is(reader->fd, reader->fd_id))
		return;
	percpu__close(reader->fd);
	percpu__file_close(reader->watch, reader->watch_id);
}

void percpu_reader_close(struct percpu_reader *reader)
{
	if (!reader)
		return;
	close_files(reader);
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

	if (percpu__file_is(reader->fd, reader->fd_id))
		percpu__file_facts(reader->fd, &facts);
	return facts.held_bytes;
}

size_t percpu_reader_own_bytes(const struct percpu_reader *reader)
{
	return reader->image_capacity + reader->entries_capacity + reader->labels_capacity + reader->order_capacity +
	       reader->words_capacity + reader->header.unit_bytes;
}
