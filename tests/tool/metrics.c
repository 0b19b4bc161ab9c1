/* SPDX-License-Identifier: MIT */
/*
 * Publishes what its arguments say, says "ready", and goes on until its input ends:
 *
 * Its pool has several descriptors.
 *
 *	metrics POOL [KIND NAME UNIT SCALE VALUE LABEL]...	KIND: c, g or h, which counts VALUE once; LABEL: a value, "" for none
 */
#include <percpu/percpu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PER_METRIC 6

static void must(bool condition, const char *what)
{
	if (!condition) {
		perror(what);
		exit(1);
	}
}

static void publish(struct percpu_pool *pool, char **arg)
{
	static struct percpu_histogram histograms[64];
	static unsigned nr_histograms;
	const struct percpu_label label = { "label", arg[5] };
	struct percpu_metric metric = {
		.size = sizeof(metric), .name = arg[1], .unit = arg[2], .help = "Help.", .scale = strtod(arg[3], NULL), .labels = &label,
		.nr_labels = arg[5][0] != '\0',
	};
	const uint64_t value = strtoull(arg[4], NULL, 10);

	if (arg[0][0] == 'h') {
		struct percpu_histogram *histogram = &histograms[nr_histograms++];

		must(!percpu_histogram_init(histogram, pool, 1, INT64_MAX, 2), "percpu_histogram_init");
		percpu_histogram_record(histogram, value);
		metric.kind = PERCPU_METRIC_HISTOGRAM;
		metric.shape = &histogram->shape;
		must(percpu_publish(histogram->copies, &metric), "percpu_publish");
	} else {
		uint64_t __percpu *word = percpu_pool_alloc(pool, sizeof(*word), sizeof(*word));

		must(word, "percpu_pool_alloc");
		percpu_add(word, value);
		metric.kind = arg[0][0] == 'g' ? PERCPU_METRIC_GAUGE : PERCPU_METRIC_COUNTER;
		must(percpu_publish(word, &metric), "percpu_publish");
	}
}

/* As programs do that keep one for a child: each pool has two more. */
static void duplicate_descriptors(void)
{
	char path[64], link[256];

	for (int fd = 3; fd < 64; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		const ssize_t bytes = readlink(path, link, sizeof(link) - 1);

		link[bytes > 0 ? bytes : 0] = '\0';
		if (!strncmp(link, "/memfd:percpu:", 14)) {
			must(dup(fd) >= 0 && dup(fd) >= 0, "dup");
			return;
		}
	}
}

int main(int argc, char **argv)
{
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	struct percpu_pool *pool;
	char byte;

	if (argc < 2)
		return 2;
	attr.published = PERCPU_ON;
	pool = percpu_pool_create(argv[1], &attr);
	must(pool, "percpu_pool_create");
	for (int i = 2; i + PER_METRIC <= argc; i += PER_METRIC)
		publish(pool, argv + i);
	duplicate_descriptors();
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
