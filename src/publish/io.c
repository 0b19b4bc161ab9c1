/* SPDX-License-Identifier: MIT */
/*
 * Owns the resources of a reader: buffers that grow up to its limit, reads of the file, and CPU
 * time. Lies below the other files of the reader and calls none of them.
 */
#include <errno.h>
#include <stdlib.h>

#include "publish/publish.h"

uint64_t percpu__reader_bytes(const struct percpu_reader *reader)
{
	return reader->image.capacity + reader->entries.capacity + reader->labels.capacity +
	       reader->order.capacity + reader->pieces.capacity + reader->of_pages.capacity +
	       reader->runs.capacity + reader->rows.capacity + reader->words.capacity +
	       reader->scratch.capacity + reader->header.unit_bytes;
}

/* Grows by half, or by as much as the limit leaves. */
int percpu__buffer_reserve(struct percpu_reader *reader, struct percpu__buffer *buffer,
			   uint64_t bytes)
{
	const uint64_t others = percpu__reader_bytes(reader) - buffer->capacity;
	uint64_t wanted = buffer->capacity + buffer->capacity / 2;
	void *grown;

	if (bytes <= buffer->capacity)
		return 0;
	if (bytes > reader->max_bytes || others > reader->max_bytes - bytes)
		return -E2BIG;
	if (wanted < bytes || wanted > reader->max_bytes - others)
		wanted = bytes;
	grown = realloc(buffer->memory, wanted);
	if (!grown)
		return -ENOMEM;
	*buffer = (struct percpu__buffer){ grown, wanted };
	return 0;
}

void percpu__buffer_free(struct percpu__buffer *buffer)
{
	free(buffer->memory);
	*buffer = (struct percpu__buffer){ .memory = NULL };
}

int percpu__reader_read(const struct percpu_reader *reader, void *buffer, size_t bytes,
			uint64_t offset)
{
	const ssize_t got = percpu__read_at(reader->fd, buffer, bytes, offset);

	return got < 0 ? (int)got : (size_t)got < bytes ? -EPROTO : 0;
}

int percpu__reader_has_time(const struct percpu_reader *reader)
{
	return reader->deadline_ns && percpu__thread_time() >= reader->deadline_ns ? -ETIME : 0;
}
