/* SPDX-License-Identifier: MIT */
/* percpu list: who publishes on this machine. */
#include <inttypes.h>

#include "tool/tool.h"

static void list_json(const struct sources *sources)
{
	putchar('[');
	for (size_t i = 0; i < sources->nr; i++) {
		const struct source *source = &sources->source[i];

		printf("%s\n{\"pid\":%d,\"name\":", i ? "," : "", source->pid);
		put_json(stdout, percpu_reader_name(source->reader));
		printf(",\"processes\":%u,\"metrics\":%zu,\"copies\":%u,\"bytes\":%" PRIu64 "}", source->nr_processes,
		       percpu_reader_nr(source->reader), percpu_reader_nr_copies(source->reader),
		       percpu_reader_held_bytes(source->reader));
	}
	printf("%s]\n", sources->nr ? "\n" : "");
}

static void list_plain(const struct sources *sources)
{
	printf("%8s %9s %8s %6s %9s  %s\n", "PID", "PROCESSES", "METRICS", "CPUS", "KIB", "NAME");
	for (size_t i = 0; i < sources->nr; i++) {
		const struct source *source = &sources->source[i];

		printf("%8d %9u %8zu %6u %9" PRIu64 "  ", source->pid, source->nr_processes,
		       percpu_reader_nr(source->reader), percpu_reader_nr_copies(source->reader) - 1,
		       percpu_reader_held_bytes(source->reader) / 1024);
		put_plain(stdout, percpu_reader_name(source->reader));
		putchar('\n');
	}
}

int command_list(const struct options *options)
{
	struct sources sources;
	const int status = sources_open(&sources, options);

	if (status)
		return status;
	if (options->json)
		list_json(&sources);
	else
		list_plain(&sources);
	sources_close(&sources);
	return STATUS_OK;
}
