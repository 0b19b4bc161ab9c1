/* SPDX-License-Identifier: MIT */
/*
 * Owns text that is written in the order in which pools are read and shown in another order, in
 * slices that are kept or left out as a whole.
 */
#include <stdlib.h>

#include "tool/tool.h"

void sheet_open(struct sheet *sheet)
{
	sheet->out = open_text(&sheet->text, &sheet->bytes);
	sheet->nr_of_pool = 0;
}

void sheet_begin(struct sheet *sheet)
{
	sheet->begun_at = ftello(sheet->out);
}

bool sheet_keep(struct sheet *sheet, const struct source *source, size_t nr)
{
	const size_t bytes = ftello(sheet->out) - sheet->begun_at,
		     cost = bytes + sizeof(struct slice);
	const bool fits = !nr || source_goes_on(source, cost, nr);

	ledger_take(source->ledger, cost);
	if (!fits)
		return false;
	sheet->slice = grow(sheet->slice, sheet->nr + 1, sizeof(*sheet->slice));
	sheet->slice[sheet->nr++] = (struct slice){
		.pid = source->pid,
		.file = source->file,
		.place = sheet->nr_of_pool++,
		.bytes = bytes,
		.text = (char *)(uintptr_t)
				sheet->begun_at, /* where it is in its block, until that is whole */
	};
	return true;
}

void sheet_close(struct sheet *sheet)
{
	fclose(sheet->out);
	for (size_t i = sheet->nr - sheet->nr_of_pool; i < sheet->nr; i++)
		sheet->slice[i].text = sheet->text + (uintptr_t)sheet->slice[i].text;
	sheet->block = grow(sheet->block, sheet->nr_blocks + 1, sizeof(*sheet->block));
	sheet->block[sheet->nr_blocks++] = sheet->text;
}

static int by_pool(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;

	if (x->pid != y->pid)
		return (x->pid > y->pid) - (x->pid < y->pid);
	if (x->file != y->file)
		return (x->file > y->file) - (x->file < y->file);
	return (x->place > y->place) - (x->place < y->place);
}

void sheet_put(FILE *out, struct sheet *sheet, const char *between)
{
	if (sheet->nr)
		qsort(sheet->slice, sheet->nr, sizeof(*sheet->slice), by_pool);
	for (size_t i = 0; i < sheet->nr; i++) {
		if (i && !sheet->slice[i].place)
			fputs(between, out);
		fwrite(sheet->slice[i].text, 1, sheet->slice[i].bytes, out);
	}
	for (size_t i = 0; i < sheet->nr_blocks; i++)
		free(sheet->block[i]);
	free(sheet->block);
	free(sheet->slice);
}
