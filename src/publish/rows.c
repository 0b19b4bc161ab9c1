/* SPDX-License-Identifier: MIT */
/*
 * Owns the rows of a reader: a hash table by page and domain with open addressing, at most half
 * full, and the words of all rows, one row after the other in order of creation.
 */
#include <errno.h>
#include <string.h>

#include "publish/publish.h"

#define FIRST_ROWS 64u /* size of the smallest table */

/* Returns: the row of page and domain, or the vacant place for it. */
static struct percpu__row *place_of(const struct percpu_reader *reader, uint32_t page,
				    uint32_t domain)
{
	struct percpu__row *rows = reader->rows.memory;
	uint64_t at = ((uint64_t)domain << 32 | page) * UINT64_C(0x9e3779b97f4a7c15) >> 20;

	for (;; at++) {
		struct percpu__row *row = &rows[at & reader->rows_mask];

		if (!row->words || (row->page == page && row->domain == domain))
			return row;
	}
}

void percpu__rows_clear(struct percpu_reader *reader)
{
	if (reader->rows.memory)
		memset(reader->rows.memory, 0,
		       (reader->rows_mask + 1) * sizeof(struct percpu__row));
	reader->nr_rows = 0;
	reader->nr_words = 0;
}

int percpu__rows_prepare(struct percpu_reader *reader, size_t nr)
{
	const struct percpu__buffer old = reader->rows;
	const uint64_t nr_old = old.memory ? reader->rows_mask + 1 : 0;
	uint64_t wanted = nr_old ? nr_old : FIRST_ROWS;
	int error;

	while (wanted / 2 < reader->nr_rows + nr)
		wanted *= 2;
	if (wanted == nr_old)
		return 0;
	reader->rows = (struct percpu__buffer){ .memory = NULL };
	error = percpu__buffer_reserve(reader, &reader->rows, wanted * sizeof(struct percpu__row));
	if (error) {
		reader->rows = old;
		return error;
	}
	memset(reader->rows.memory, 0, wanted * sizeof(struct percpu__row));
	reader->rows_mask = wanted - 1;
	for (uint64_t i = 0; i < nr_old; i++) {
		const struct percpu__row *row = (struct percpu__row *)old.memory + i;

		if (row->words)
			*place_of(reader, row->page, row->domain) = *row;
	}
	percpu__buffer_free(&(struct percpu__buffer){ old.memory, old.capacity });
	return 0;
}

int percpu__row_make(struct percpu_reader *reader, uint32_t page, uint32_t domain, size_t nr_words,
		     uint64_t **words)
{
	struct percpu__row *row = place_of(reader, page, domain);

	if (!row->words) {
		const int error = percpu__buffer_reserve(
			reader, &reader->words, (reader->nr_words + nr_words) * sizeof(uint64_t));

		if (error)
			return error;
		*row = (struct percpu__row){
			.page = page,
			.domain = domain,
			.words = reader->nr_words + 1,
		};
		memset((uint64_t *)reader->words.memory + reader->nr_words, 0,
		       nr_words * sizeof(uint64_t));
		reader->nr_words += nr_words;
		reader->nr_rows++;
	}
	*words = (uint64_t *)reader->words.memory + row->words - 1;
	return 0;
}

const uint64_t *percpu__row_find(const struct percpu_reader *reader, uint32_t page, uint32_t domain)
{
	const struct percpu__row *row = reader->nr_rows ? place_of(reader, page, domain) : NULL;

	return row && row->words ? (uint64_t *)reader->words.memory + row->words - 1 : NULL;
}
