/* SPDX-License-Identifier: MIT */
/* percpu list: who publishes on this machine. */
#include <inttypes.h>

#include "tool/tool.h"

struct list {
	struct sheet sheet;
	bool json;
};

static void put_pool(FILE *out, const struct source *source, bool json)
{
	const size_t nr = percpu_reader_nr(source->reader);
	const unsigned nr_copies = percpu_reader_nr_copies(source->reader);
	const uint64_t bytes = percpu_reader_held_bytes(source->reader);

	if (!json) {
		fprintf(out, "%8d %9u %8zu %6u %9" PRIu64 "  ", source->pid, source->nr_processes,
			nr, nr_copies - 1, bytes / 1024);
		put_plain(out, percpu_reader_name(source->reader));
		putc('\n', out);
		return;
	}
	fprintf(out, "\n{\"pid\":%d,\"name\":", source->pid);
	put_json(out, percpu_reader_name(source->reader));
	fprintf(out, ",\"processes\":%u,\"metrics\":%zu,\"copies\":%u,\"bytes\":%" PRIu64 "}",
		source->nr_processes, nr, nr_copies, bytes);
}

static void list_pool(struct source *source, void *arg)
{
	struct list *list = arg;

	sheet_open(&list->sheet);
	sheet_begin(&list->sheet);
	put_pool(list->sheet.out, source, list->json);
	sheet_keep(&list->sheet, source, 1);
	sheet_close(&list->sheet);
}

int command_list(const struct options *options)
{
	struct ledger ledger = ledger_open();
	struct list list = { .json = options->json };
	int status = sources_visit(options, &ledger, list_pool, &list);
	const bool has_any = list.sheet.nr;

	if (!status && !options->json)
		printf("%8s %9s %8s %6s %9s  %s\n", "PID", "PROCESSES", "METRICS", "CPUS", "KIB",
		       "NAME");
	if (!status && options->json)
		putchar('[');
	sheet_put(stdout, &list.sheet, options->json ? "," : "");
	if (!status && options->json)
		printf("%s]\n", has_any ? "\n" : "");
	return ledger_end_of(&ledger, status);
}
