/* SPDX-License-Identifier: MIT */
/*
 * Owns the validation of published pools, whose contents are untrusted: each number is checked
 * against the actual file before use, in arithmetic that cannot wrap, and text ends where its
 * record does.
 */
#include <string.h>

#include "publish/publish.h"

#define MAX_COPIES 65537u /* the most CPUs of any Linux, and the fallback copy */

/* Returns: true if [offset, offset + bytes) lies below end. */
static bool fits(uint64_t offset, uint64_t bytes, uint64_t end)
{
	return offset <= end && bytes <= end - offset;
}

bool percpu__header_is_valid(const struct percpu__file_header *header, uint64_t file_bytes)
{
	uint64_t copies_bytes;

	return header->magic == PERCPU__FILE_MAGIC && header->version == PERCPU__FILE_VERSION &&
	       header->nr_copies >= 2 && header->nr_copies <= MAX_COPIES &&
	       header->unit_bytes == PERCPU_STRIDE && header->name_offset >= sizeof(*header) &&
	       header->name_bytes < PERCPU__READER_MAX_BYTES &&
	       fits(header->name_offset, header->name_bytes + 1, header->directory_offset) &&
	       header->directory_offset % sizeof(uint64_t) == 0 &&
	       header->directory_bytes <= PERCPU__READER_MAX_BYTES &&
	       fits(header->directory_offset, header->directory_bytes, header->chunks_offset) &&
	       header->chunks_offset % PERCPU__BLOCK_BYTES == 0 &&
	       !__builtin_mul_overflow(header->nr_chunks, header->nr_copies * PERCPU_STRIDE,
				       &copies_bytes) &&
	       fits(header->chunks_offset, copies_bytes, file_bytes);
}

uint64_t percpu__record_bytes(const struct percpu__record *record, uint64_t at,
			      uint64_t used_bytes)
{
	if (record->bytes < sizeof(*record) || record->bytes % sizeof(uint64_t) ||
	    !fits(at, record->bytes, used_bytes))
		return 0;
	return record->bytes;
}

/* Returns: true if the words lie in copy 0 of one chunk. */
static bool words_are_valid(const struct percpu__file_header *header, uint64_t value,
			    uint64_t nr_words)
{
	const uint64_t chunk_bytes = header->nr_copies * header->unit_bytes,
		       at = value - header->chunks_offset;

	return value >= header->chunks_offset && at / chunk_bytes < header->nr_chunks &&
	       at % sizeof(uint64_t) == 0 && nr_words &&
	       fits(at % chunk_bytes, nr_words * sizeof(uint64_t), header->unit_bytes);
}

/* Returns: true if kind and number of words agree; sets *shape for a histogram. */
static bool kind_is_valid(const struct percpu__record *record,
			  struct percpu_histogram_shape *shape)
{
	if (record->kind == PERCPU_METRIC_COUNTER || record->kind == PERCPU_METRIC_GAUGE)
		return record->nr_words == 1;
	if (record->kind != PERCPU_METRIC_HISTOGRAM || record->nr_words <= PERCPU__HISTOGRAM_WORDS)
		return false;
	*shape = (struct percpu_histogram_shape){
		.unit_shift = record->unit_shift,
		.precision_bits = record->precision_bits,
		.nr_buckets = record->nr_words - PERCPU__HISTOGRAM_WORDS,
	};
	return percpu_histogram_shape_is_valid(shape);
}

/* Moves *at behind the next string. Returns: that string; NULL if it does not end before end. */
static const char *take_string(const char **at, const char *end)
{
	const char *text = *at, *zero = memchr(text, '\0', end - text);

	if (zero)
		*at = zero + 1;
	return zero ? text : NULL;
}

bool percpu__record_read(const struct percpu__file_header *header,
			 const struct percpu__record *record, struct percpu__entry *entry)
{
	const char *at = record->text, *end;
	struct percpu_metric *metric = &entry->metric;
	struct percpu_histogram_shape shape = { .nr_buckets = 0 };

	if (!fits(sizeof(*record), record->text_bytes, record->bytes) ||
	    !kind_is_valid(record, &shape) || !percpu__scale_is_valid(record->scale) ||
	    !words_are_valid(header, record->value, record->nr_words))
		return false;
	end = at + record->text_bytes;
	*entry = (struct percpu__entry){
		.metric = { .size = sizeof(*metric),
			    .kind = record->kind,
			    .nr_labels = record->nr_labels,
			    .scale = record->scale },
		.generation = record->generation,
		.value = record->value,
		.nr_words = record->nr_words,
		.shape = shape,
	};
	metric->name = take_string(&at, end);
	metric->unit = metric->name ? take_string(&at, end) : NULL;
	metric->help = metric->unit ? take_string(&at, end) : NULL;
	if (!metric->help || !metric->name[0])
		return false;
	for (uint64_t i = 0; i < 2 * (uint64_t)record->nr_labels; i++)
		if (!take_string(&at, end))
			return false;
	return at == end;
}

void percpu__record_labels(const struct percpu__record *record, struct percpu_label *labels)
{
	const char *at = record->text, *end = at + record->text_bytes;

	for (unsigned i = 0; i < 3; i++)
		take_string(&at, end);
	for (uint32_t i = 0; i < record->nr_labels; i++) {
		labels[i].name = take_string(&at, end);
		labels[i].value = take_string(&at, end);
	}
}
