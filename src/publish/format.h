/* SPDX-License-Identifier: MIT */
/*
 * The directory in the file of a published pool: a row of records, each of which describes a metric or is vacant.
 *
 *	| record | text | record | text | ... |				used_bytes in all
 *
 * The length of a record never changes, so the row can always be walked. The text is the name, unit and help, then a
 * name and a value for each label, each terminated by a zero byte. The value of a metric is nr_words words of 64 bits
 * in each copy; those of copy i begin at value + i * unit_bytes. The words of a histogram are a
 * struct percpu_histogram_copy.
 *
 * Consistency: `changes` in the header is a seqcount, odd while the writer changes the directory. A reader that reads
 * the same even number before and after has read a consistent directory and its values. Each record has a seqcount of
 * its own, generation, odd while the record is vacant or incomplete, for a reader that never finds `changes` still. A
 * writer that dies during a change leaves odd numbers.
 *
 * A reader trusts none of this, because the file may come from any process.
 */
#ifndef PERCPU_FORMAT_H
#define PERCPU_FORMAT_H

#include "percpu/percpu.h"

struct percpu__record {
	uint64_t generation;       /* odd: vacant */
	uint64_t bytes;            /* to the next record; fixed */
	uint64_t value;            /* offset of copy 0's words in the file */
	uint64_t next_vacant;      /* used by the writer only */
	uint32_t kind;             /* enum percpu_metric_kind */
	uint32_t nr_words;
	uint32_t nr_labels;
	uint16_t unit_shift;       /* of a histogram's shape */
	uint16_t precision_bits;
	double scale;
	uint64_t text_bytes;
	char text[];
};
_Static_assert(sizeof(struct percpu__record) == 64, "layout of the file");

#endif
