/* SPDX-License-Identifier: MIT */
/*
 * Owns readers of a pool of another process. That process may change the pool meanwhile, die in the
 * middle of a change, or be hostile. So everything is read by pread into private memory and
 * validated there: no page is mapped, hence none is allocated by reading, and truncation cannot
 * raise SIGBUS. A reader never waits and reads nothing twice but the directory: metrics whose
 * descriptions changed while values were read are left out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "publish/publish.h"

/* ---- updates ---- */

int percpu_reader_update(struct percpu_reader *reader)
{
	uint64_t changes;
	int error = percpu__file_is(reader->fd, reader->fd_id) ? 0 : -EBADF;

	reader->deadline_ns = reader->max_ns ? percpu__thread_time() + reader->max_ns : 0;
	if (!error)
		error = percpu__directory_read(reader, &changes);
	if (!error)
		error = percpu__values_read(reader);
	if (!error)
		error = percpu__directory_keep_settled(reader, changes);
	if (error)
		reader->nr = 0;
	else if (percpu__file_is(reader->watch, reader->watch_id) &&
		 percpu__has_ended(reader->watch))
		error = -ESRCH;
	return error;
}

void percpu_reader_limit(struct percpu_reader *reader, size_t bytes, uint64_t nanoseconds)
{
	reader->max_bytes = bytes && bytes < PERCPU__READER_MAX_BYTES ? bytes
								      : PERCPU__READER_MAX_BYTES;
	reader->max_ns = nanoseconds;
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
	/* The magic number is stored last; pairs with percpu__shared_create. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	error = percpu__reader_read(reader, (char *)&reader->header + sizeof(reader->header.magic),
				    sizeof(reader->header) - sizeof(reader->header.magic),
				    sizeof(reader->header.magic));
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
	reader->nr_domains = 1;
	reader->max_bytes = PERCPU__READER_MAX_BYTES;
	reader->watch = percpu__pidfd_open(pid);
	reader->fd = percpu__open_memfd(path);
	percpu__file_identify(reader->watch, &reader->watch_id);
	error = reader->fd < 0 ? reader->fd : percpu__file_identify(reader->fd, &reader->fd_id);
	if (!error)
		error = read_header(reader);
	if (!error)
		error = read_name(reader);
	if (!error &&
	    !(reader->unit = aligned_alloc(percpu__page_bytes(), reader->header.unit_bytes)))
		error = -ENOMEM;
	if (error) {
		percpu_reader_close(reader);
		errno = error == -ESRCH ? ENOENT : -error;
		return NULL;
	}
	return reader;
}

/*
 * Before Linux 6.9 all pidfds share one inode with other anonymous files, so the pidfd cannot be
 * identified. The memfd can, and stands for both: a program that closes descriptors it does not
 * know closes both.
 */
static void close_files(const struct percpu_reader *reader)
{
	if (reader->fd >= 0 && !percpu__file_is(reader->fd, reader->fd_id))
		return;
	percpu__close(reader->fd);
	percpu__file_close(reader->watch, reader->watch_id);
}

static void free_buffers(struct percpu_reader *reader)
{
	struct percpu__buffer *const buffers[] = {
		&reader->image, &reader->entries, &reader->labels, &reader->order, &reader->pieces,
		&reader->of_pages, &reader->runs, &reader->rows, &reader->words, &reader->scratch,
	};

	for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
		percpu__buffer_free(buffers[i]);
}

void percpu_reader_close(struct percpu_reader *reader)
{
	if (!reader)
		return;
	close_files(reader);
	free_buffers(reader);
	free(reader->name);
	free(reader->domain_of);
	free(reader->unit);
	free(reader);
}

int percpu_reader_group(struct percpu_reader *reader, const uint32_t *domain_of_copy,
			uint32_t nr_domains)
{
	const size_t bytes = reader->header.nr_copies * sizeof(*domain_of_copy);
	uint32_t *copied = NULL;

	if (domain_of_copy && !nr_domains)
		return -EINVAL;
	if (domain_of_copy) {
		copied = malloc(bytes);
		if (!copied)
			return -ENOMEM;
		memcpy(copied, domain_of_copy, bytes);
	}
	free(reader->domain_of);
	reader->domain_of = copied;
	reader->nr_domains = copied ? nr_domains : 1;
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
	return &percpu__reader_entries(reader)[i].metric;
}

const uint64_t *percpu_reader_words(const struct percpu_reader *reader, size_t i, uint32_t domain,
				    size_t *nr)
{
	const struct percpu__entry *entry = &percpu__reader_entries(reader)[i];

	if (nr)
		*nr = entry->nr_words;
	return percpu__values_of(reader, entry, domain);
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
	return percpu__reader_bytes(reader);
}
