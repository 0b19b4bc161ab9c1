/* SPDX-License-Identifier: MIT */
/* Published files made by hand, as a hostile program may make them: any claim, with as little behind it as it likes. */
#ifndef TESTS_PUBLISH_LIAR_H
#define TESTS_PUBLISH_LIAR_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "publish/format.h"

#define LIAR_UNIT_BYTES UINT64_C(262144)
#define LIAR_DIRECTORY_AT UINT64_C(4096)

static inline void liar_put(int fd, const void *bytes, size_t size, off_t at)
{
	if (pwrite(fd, bytes, size, at) != (ssize_t)size) {
		perror("pwrite");
		exit(1);
	}
}

/* A row of records as it is made. */
struct liar {
	char *directory;
	uint64_t used_bytes, room_bytes;
	struct percpu__file_header header;
};

static inline void liar_begin(struct liar *liar, uint32_t nr_copies, uint64_t room_bytes)
{
	*liar = (struct liar){ .directory = calloc(1, room_bytes), .room_bytes = room_bytes };
	if (!liar->directory)
		exit(1);
	liar->header = (struct percpu__file_header){
		.magic = PERCPU__FILE_MAGIC, .version = PERCPU__FILE_VERSION, .nr_copies = nr_copies,
		.unit_bytes = LIAR_UNIT_BYTES, .nr_chunks = 1, .name_offset = sizeof(liar->header), .name_bytes = 1,
		.directory_offset = LIAR_DIRECTORY_AT, .directory_bytes = (room_bytes + 4095) / 4096 * 4096, .pid = getpid(),
	};
	liar->header.chunks_offset = LIAR_DIRECTORY_AT + liar->header.directory_bytes;
}

/* text: name, unit, help and labels with their zero bytes, of text_bytes. at: bytes behind the first chunk's begin. */
static inline void liar_add(struct liar *liar, uint32_t kind, uint32_t nr_words, uint64_t at, uint32_t nr_labels, const char *text,
			    size_t text_bytes)
{
	struct percpu__record *record = (void *)(liar->directory + liar->used_bytes);
	const uint64_t bytes = (sizeof(*record) + text_bytes + 7) / 8 * 8;

	if (liar->used_bytes + bytes > liar->room_bytes)
		abort();
	*record = (struct percpu__record){
		.generation = 2, .bytes = bytes, .value = liar->header.chunks_offset + at, .kind = kind, .nr_words = nr_words,
		.nr_labels = nr_labels, .precision_bits = nr_words > 1 ? 14 : 0, .scale = 1, .text_bytes = text_bytes,
	};
	memcpy(record->text, text, text_bytes);
	liar->used_bytes += bytes;
}

/* The file, of whose values nothing is held yet. */
static inline int liar_end(struct liar *liar, const char *pool)
{
	int fd = memfd_create("percpu:liar", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	liar->header.used_bytes = liar->used_bytes;
	liar->header.name_bytes = strlen(pool);
	if (fd < 0 || ftruncate(fd, liar->header.chunks_offset + liar->header.nr_chunks * liar->header.nr_copies * LIAR_UNIT_BYTES)) {
		perror("liar_end");
		exit(1);
	}
	liar_put(fd, &liar->header, sizeof(liar->header), 0);
	liar_put(fd, pool, strlen(pool) + 1, sizeof(liar->header));
	liar_put(fd, liar->directory, liar->used_bytes, LIAR_DIRECTORY_AT);
	free(liar->directory);
	return fd;
}

/* A word of a copy of the first chunk. */
static inline void liar_count(const struct liar *liar, int fd, uint64_t copy, uint64_t at, uint64_t value)
{
	liar_put(fd, &value, sizeof(value), liar->header.chunks_offset + copy * LIAR_UNIT_BYTES + at);
}

#endif
