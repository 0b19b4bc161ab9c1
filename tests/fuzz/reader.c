/* SPDX-License-Identifier: MIT */
/*
 * Files of a hostile publisher: a valid file, changed in places that the input names, and cut to a
 * length. The reader returns only complete records, or an error.
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <percpu/percpu.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_BYTES 256
#define RECORDS_AT 4096
#define RECORDS_BYTES 1024

/* The header and the records, as the library writes them. */
static uint8_t head[HEAD_BYTES], records[RECORDS_BYTES];
static off_t file_bytes;

static int take(const struct percpu_publisher *publisher, void *arg)
{
	struct stat stat;

	must(!fstat(publisher->fd, &stat));
	file_bytes = stat.st_size;
	must(pread(publisher->fd, head, sizeof(head), 0) == sizeof(head));
	must(pread(publisher->fd, records, sizeof(records), RECORDS_AT) == sizeof(records));
	return 1;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct percpu_label labels[] = { { "a", "1" }, { "b", "2" } };
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	struct percpu_histogram histogram;
	struct percpu_pool *pool;

	attr.published = PERCPU_ON;
	attr.limit_bytes = 4096;
	pool = percpu_pool_create("honest", &attr);
	must(pool && !percpu_histogram_init(&histogram, pool, 1, 1000, 3));
	for (unsigned i = 0; i < 6; i++) {
		const struct percpu_metric metric = { .size = sizeof(metric), .kind = 1 + i % 3, .name = "name", .unit = "bytes",
						      .help = "Help.", .labels = labels, .nr_labels = i % 3,
						      .shape = i % 3 == 2 ? &histogram.shape : NULL };

		must(percpu_publish(i % 3 == 2 ? (void *)histogram.copies : percpu_pool_alloc(pool, 8, 8), &metric));
	}
	must(percpu_publishers(getpid(), take, NULL) == 1);
	return 0;
}

static uint64_t next_long(struct input *input)
{
	/* Values that are likely to go wrong, and random ones. */
	static const uint64_t numbers[] = { 0, 1, 7, 8, 64, 4096, PERCPU_STRIDE, (uint64_t)1 << 30, (uint64_t)1 << 40,
					    UINT32_MAX, INT64_MAX, (uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 7 };
	const uint8_t which = next_byte(input);
	uint64_t number = 0;

	if (which < sizeof(numbers) / sizeof(numbers[0]))
		return numbers[which];
	for (unsigned i = 0; i < which % 8; i++)
		number = number << 8 | next_byte(input);
	return number;
}

static void read_all(const struct percpu_reader *reader)
{
	uint64_t sum = strlen(percpu_reader_name(reader));

	for (size_t i = 0; i < percpu_reader_nr(reader); i++) {
		const struct percpu_metric *metric = percpu_reader_metric(reader, i);
		size_t nr;
		const uint64_t *words = percpu_reader_words(reader, i, 0, &nr);

		must(metric->name[0]);
		must(nr == (metric->shape ? 4 + metric->shape->nr_buckets : 1));
		must(!metric->shape == (metric->kind != PERCPU_METRIC_HISTOGRAM));
		sum += strlen(metric->name) + strlen(metric->unit) + strlen(metric->help);
		for (uint32_t label = 0; label < metric->nr_labels; label++)
			sum += strlen(metric->labels[label].name) + strlen(metric->labels[label].value);
		for (size_t word = 0; word < nr; word++)
			sum += words[word];
	}
	__asm__ volatile("" : : "r"(sum));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input input = { bytes, bytes + size };
	const int fd = memfd_create("percpu:liar", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	struct percpu_reader *reader;
	off_t length = file_bytes;

	must(fd >= 0 && !ftruncate(fd, file_bytes));
	must(pwrite(fd, head, sizeof(head), 0) == sizeof(head));
	must(pwrite(fd, records, sizeof(records), RECORDS_AT) == sizeof(records));
	while (input.at < input.end) {
		const uint8_t how = next_byte(&input);
		const off_t place = how & 1 ? next_byte(&input) * 4 % HEAD_BYTES : RECORDS_AT + next_word(&input) % RECORDS_BYTES;
		const uint64_t number = next_long(&input);

		if (how < 8)
			length = number % (2 * (uint64_t)file_bytes);
		else
			must(pwrite(fd, &number, how & 2 ? 8 : how & 4 ? 4 : 1, place) > 0);
	}
	must(!ftruncate(fd, length));
	reader = percpu_reader_open(getpid(), fd);
	if (reader) {
		const int result = percpu_reader_update(reader);

		must(!result || !percpu_reader_nr(reader));
		must(!result || result == -EPROTO || result == -E2BIG || result == -ENOMEM);
		read_all(reader);
	} else {
		must(errno == EPROTO || errno == ENOMEM);
	}
	percpu_reader_close(reader);
	close(fd);
	return 0;
}
