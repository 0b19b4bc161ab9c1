/* SPDX-License-Identifier: MIT */
/* Published pools: what is published is read, by whom it may be, in whatever order things come and go. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "harness/harness.h"
#include "publish/world.h"

/* ---- descriptions ---- */

START_TEST(what_is_published_is_read)
{
	static const struct percpu_label labels[] = { { "method", "GET" }, { "path", "/a \"b\"\n\\" }, { NULL, "" } };
	const struct percpu_metric requests = { .size = sizeof(requests), .kind = PERCPU_METRIC_COUNTER, .name = "requests",
						.help = "Requests answered.", .labels = labels, .nr_labels = 3 };
	const struct percpu_metric depth = { .size = sizeof(depth), .kind = PERCPU_METRIC_GAUGE, .name = "queue_depth",
					     .unit = "bytes" };
	struct percpu_pool *pool = published_pool("a name", 0);
	uint64_t __percpu *counter = word_in(pool);
	int64_t __percpu *gauge = (int64_t __percpu *)word_in(pool);
	struct percpu_reader *reader;
	const struct percpu_metric *metric;

	ck_assert_ptr_nonnull(percpu_publish(counter, &requests));
	ck_assert_ptr_nonnull(percpu_publish(gauge, &depth));
	percpu_for_each_copy(i) {
		*percpu_ptr(counter, i) = 10 + i;
		*percpu_ptr(gauge, i) = -1000 - (int64_t)i;
	}
	reader = reader_of(getpid());
	ck_assert_ptr_nonnull(reader);
	ck_assert_str_eq(percpu_reader_name(reader), "a name");
	ck_assert_int_eq(percpu_reader_creator(reader), getpid());
	ck_assert_uint_eq(percpu_reader_nr_copies(reader), percpu_nr_copies());
	ck_assert_uint_eq(percpu_reader_nr(reader), 0);
	ck_assert_int_eq(percpu_reader_update(reader), 0);
	ck_assert_uint_eq(percpu_reader_nr(reader), 2);
	metric = percpu_reader_metric(reader, 0);
	ck_assert_uint_eq(metric->kind, PERCPU_METRIC_COUNTER);
	ck_assert_str_eq(metric->name, "requests");
	ck_assert_str_eq(metric->unit, "");
	ck_assert_str_eq(metric->help, "Requests answered.");
	ck_assert_uint_eq(metric->nr_labels, 3);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_str_eq(metric->labels[i].name, labels[i].name ? labels[i].name : "");
		ck_assert_str_eq(metric->labels[i].value, labels[i].value);
	}
	ck_assert_uint_eq(value_of(reader, "requests"), percpu_sum(counter));
	ck_assert_str_eq(percpu_reader_metric(reader, 1)->unit, "bytes");
	ck_assert_int_eq((int64_t)value_of(reader, "queue_depth"), percpu_sum(gauge));
	percpu_reader_close(reader);
}
END_TEST

START_TEST(what_cannot_be_published_is_refused)
{
	struct percpu_pool *pool = published_pool("refusing", 0), *private = percpu_pool_create("private", NULL);
	uint64_t __percpu *p = word_in(pool);
	char __percpu *all = percpu_pool_alloc(pool, PERCPU_STRIDE, 8);
	static const struct percpu_label label = { "a", "b" };
	static const struct percpu_label twice[] = { { "a", "1" }, { "b", "1" }, { "a", "2" } },
					 nameless[] = { { "", "1" }, { NULL, "2" } };
	static const struct percpu_histogram_shape no_shape = { .nr_buckets = 0 };
	struct percpu_histogram_shape shape = { .nr_buckets = 0 };
	const struct percpu_metric histogram = { .size = sizeof(histogram), .kind = PERCPU_METRIC_HISTOGRAM, .name = "h",
						 .shape = &shape };
	const struct percpu_metric wrong[] = {
		{ .size = sizeof(struct percpu_metric), .kind = PERCPU_METRIC_COUNTER },
		{ .size = sizeof(struct percpu_metric), .kind = PERCPU_METRIC_COUNTER, .name = "" },
		{ .size = sizeof(struct percpu_metric), .kind = 0, .name = "n" },
		{ .size = sizeof(struct percpu_metric), .kind = 99, .name = "n" },
		{ .size = 8, .kind = PERCPU_METRIC_COUNTER, .name = "n" },
		{ .size = sizeof(struct percpu_metric), .kind = PERCPU_METRIC_COUNTER, .name = "n", .nr_labels = 1 },
		{ .size = sizeof(struct percpu_metric), .kind = PERCPU_METRIC_COUNTER, .name = "n", .labels = twice,
		  .nr_labels = 3 },
		{ .size = sizeof(struct percpu_metric), .kind = PERCPU_METRIC_COUNTER, .name = "n", .labels = nameless,
		  .nr_labels = 2 },
		{ .size = sizeof(struct percpu_metric), .kind = PERCPU_METRIC_COUNTER, .name = "n", .scale = -1 },
		{ .size = sizeof(struct percpu_metric), .kind = PERCPU_METRIC_COUNTER, .name = "n", .scale = 1e300 },
		{ .size = sizeof(struct percpu_metric), .kind = PERCPU_METRIC_COUNTER, .name = "n", .scale = 0.0 / 0.0 },
		{ .size = sizeof(struct percpu_metric), .kind = PERCPU_METRIC_COUNTER, .name = "n", .shape = &shape },
		{ .size = sizeof(struct percpu_metric), .kind = PERCPU_METRIC_HISTOGRAM, .name = "n" },
		{ .size = sizeof(struct percpu_metric), .kind = PERCPU_METRIC_HISTOGRAM, .name = "n", .shape = &no_shape },
	};
	const struct percpu_metric good = { .size = sizeof(good), .kind = PERCPU_METRIC_COUNTER, .name = "n",
					    .labels = &label, .nr_labels = 1 };
	const void *const places[] = { NULL, "code", word_in(private), percpu_alloc(8, 8), percpu_ptr(p, 0), (char *)p + 4 };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		errno = 0;
		ck_assert_ptr_null(percpu_publish(p, &wrong[i]));
		ck_assert_int_eq(errno, EINVAL);
	}
	ck_assert_ptr_null(percpu_publish(p, NULL));
	/* More than there is of a copy behind it. */
	ck_assert_int_eq(percpu_histogram_shape_init(&shape, 1, 1000000, 10), 0);
	ck_assert_ptr_nonnull(percpu_publish(all, &histogram));
	ck_assert_ptr_null(percpu_publish(all + PERCPU_STRIDE - 4096, &histogram));
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		errno = 0;
		ck_assert_ptr_null(percpu_publish(places[i], &good));
		ck_assert_int_eq(errno, EINVAL);
	}
	ck_assert_int_eq(percpu_unpublish(NULL), -EINVAL);
	ck_assert_ptr_nonnull(percpu_publish(p, &good));
}
END_TEST

/* Any length, any number, any bytes: what is read is what was written, and the rest is not disturbed. */
START_TEST(names_and_labels_of_any_length)
{
	struct percpu_pool *pool = published_pool("long", 0);
	struct percpu_label *labels = calloc(5000, sizeof(*labels));
	char *name = malloc(1000001), text[64];
	struct percpu_reader *reader;

	memset(name, 'n', 1000000);
	name[1000000] = '\0';
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "label_%u\xff\x01", i);
		labels[i] = (struct percpu_label){ strdup(text), strdup(text + 6) };
	}
	for (size_t bytes = 1; bytes <= 1000000; bytes *= 10) {
		const struct percpu_metric metric = { .size = sizeof(metric), .kind = PERCPU_METRIC_COUNTER,
						      .name = name + 1000000 - bytes, .labels = labels,
						      .nr_labels = bytes == 100 ? 5000 : 0 };
		uint64_t __percpu *p = word_in(pool);

		*percpu_ptr(p, 0) = bytes;
		ck_assert_ptr_nonnull(percpu_publish(p, &metric));
	}
	reader = reader_of(getpid());
	ck_assert_int_eq(percpu_reader_update(reader), 0);
	ck_assert_uint_eq(percpu_reader_nr(reader), 7);
	for (size_t bytes = 1; bytes <= 1000000; bytes *= 10)
		ck_assert_uint_eq(value_of(reader, name + 1000000 - bytes), bytes);
	for (unsigned i = 0; i < 5000; i++) {
		ck_assert_str_eq(percpu_reader_metric(reader, 2)->labels[i].name, labels[i].name);
		ck_assert_str_eq(percpu_reader_metric(reader, 2)->labels[i].value, labels[i].value);
	}
	percpu_reader_close(reader);
}
END_TEST

START_TEST(the_room_for_descriptions_ends_in_an_error)
{
	struct percpu_pool *pool = published_pool("small", 4096);
	uint64_t __percpu *p = word_in(pool);
	struct percpu_published *published, *last = NULL;
	char help[1000];
	unsigned nr = 0;

	memset(help, 'h', sizeof(help) - 1);
	help[sizeof(help) - 1] = '\0';
	const struct percpu_metric metric = { .size = sizeof(metric), .kind = PERCPU_METRIC_COUNTER, .name = "n", .help = help };

	errno = 0;
	while ((published = percpu_publish(p, &metric))) {
		last = published;
		nr++;
	}
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_uint_gt(nr, 16 * 4096 / 1200 - 1);
	ck_assert_int_eq(percpu_unpublish(last), 0);
	ck_assert_ptr_nonnull(percpu_publish(p, &metric));
	ck_assert_ptr_null(percpu_publish(p, &metric));
}
END_TEST

START_TEST(what_was_removed_is_gone_and_its_room_is_used_again)
{
	struct percpu_pool *pool = published_pool("churn", 1 << 16);
	uint64_t __percpu *p[100];
	struct percpu_published *published[100];
	struct percpu_reader *reader;
	uint64_t held = 0;
	char name[64];

	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "m%u", i);
		*percpu_ptr(p[i] = word_in(pool), 0) = i;
		published[i] = publish_as(p[i], PERCPU_METRIC_COUNTER, name);
	}
	reader = reader_of(getpid());
	for (unsigned round = 1; round < 300; round++) {
		for (unsigned i = 0; i < 100; i++) {
			if ((i + round) % 3)
				continue;
			ck_assert_int_eq(percpu_unpublish(published[i]), 0);
			ck_assert_int_eq(percpu_reader_update(reader), 0);
			ck_assert_uint_eq(percpu_reader_nr(reader), 99);
			snprintf(name, sizeof(name), "%.*s%u", (int)(round * i % 50), "a_name_of_some_length_that_varies_from_round_to_round", i);
			published[i] = publish_as(p[i], PERCPU_METRIC_COUNTER, name);
			ck_assert_ptr_nonnull(published[i]);
			if (i % 20 == 0) {
				ck_assert_int_eq(percpu_reader_update(reader), 0);
				ck_assert_uint_eq(value_of(reader, name), i);
			}
		}
		if (round == 60)
			held = percpu_reader_held_bytes(reader);
	}
	ck_assert_int_eq(percpu_reader_update(reader), 0);
	ck_assert_uint_eq(percpu_reader_nr(reader), 100);
	ck_assert_uint_eq(percpu_reader_held_bytes(reader), held);
	percpu_reader_close(reader);
}
END_TEST

START_TEST(values_by_domain)
{
	struct percpu_pool *pool;
	uint64_t __percpu *p;
	struct percpu_reader *reader;
	uint32_t domain_of[21];

	with_options("cpus:20");
	pool = published_pool("domains", 0);
	p = word_in(pool);
	publish_as(p, PERCPU_METRIC_COUNTER, "n");
	percpu_for_each_copy(i)
		if (i % 2)
			*percpu_ptr(p, i) = i;
	reader = reader_of(getpid());
	for (unsigned i = 0; i < 21; i++)
		domain_of[i] = i % 7 == 6 ? UINT32_MAX : i % 7;
	ck_assert_int_eq(percpu_reader_group(reader, domain_of, 0), -EINVAL);
	ck_assert_int_eq(percpu_reader_group(reader, domain_of, 6), 0);
	ck_assert_int_eq(percpu_reader_update(reader), 0);
	for (unsigned domain = 0; domain < 6; domain++) {
		uint64_t sum = 0;

		for (unsigned i = domain; i < 21; i += 7)
			sum += i % 2 ? i : 0;
		ck_assert_uint_eq(*percpu_reader_words(reader, 0, domain, NULL), sum);
	}
	ck_assert_int_eq(percpu_reader_group(reader, NULL, 0), 0);
	ck_assert_uint_eq(percpu_reader_nr(reader), 0);
	ck_assert_int_eq(percpu_reader_update(reader), 0);
	ck_assert_uint_eq(value_of(reader, "n"), 100);
	percpu_reader_close(reader);
}
END_TEST

START_TEST(histograms_are_merged)
{
	struct percpu_pool *pool = published_pool("histograms", 0);
	struct percpu_histogram histogram;
	struct percpu_histogram_data want, have;
	struct percpu_reader *reader;
	const struct percpu_metric *metric;

	ck_assert_int_eq(percpu_histogram_init(&histogram, pool, 1, 100000, 4), 0);
	const struct percpu_metric described = { .size = sizeof(described), .kind = PERCPU_METRIC_HISTOGRAM, .name = "h",
						 .shape = &histogram.shape, .scale = 0.5 };
	ck_assert_ptr_nonnull(percpu_publish(histogram.copies, &described));
	for (unsigned value = 3; value < 200000; value += 7)
		percpu_histogram_record(&histogram, value);
	/* What other CPUs would have counted. */
	percpu_for_each_copy(i) {
		percpu_ptr(histogram.copies, i)->counts[i] += 5;
		percpu_ptr(histogram.copies, i)->max += i;
	}
	want.counts = malloc(histogram.shape.nr_buckets * sizeof(*want.counts));
	have.counts = malloc(histogram.shape.nr_buckets * sizeof(*have.counts));
	percpu_histogram_read(&histogram, &want);
	reader = reader_of(getpid());
	ck_assert_int_eq(percpu_reader_update(reader), 0);
	metric = percpu_reader_metric(reader, 0);
	ck_assert_mem_eq(metric->shape, &histogram.shape, sizeof(histogram.shape));
	ck_assert(metric->scale == 0.5);
	percpu_histogram_data_clear(&have, metric->shape);
	percpu_histogram_data_add(&have, (const void *)percpu_reader_words(reader, 0, 0, NULL));
	ck_assert_uint_eq(have.nr, want.nr);
	ck_assert_uint_eq(have.sum, want.sum);
	ck_assert_uint_eq(have.min, want.min);
	ck_assert_uint_eq(have.max, want.max);
	ck_assert_mem_eq(have.counts, want.counts, histogram.shape.nr_buckets * sizeof(*want.counts));
	percpu_reader_close(reader);
}
END_TEST

START_TEST(a_hundred_thousand_metrics)
{
	struct percpu_pool *pool = published_pool("many", 0);
	struct percpu_reader *reader;
	char name[64];

	for (unsigned i = 0; i < 100000; i++) {
		uint64_t __percpu *p = word_in(pool);

		snprintf(name, sizeof(name), "metric_number_%u", i);
		*percpu_ptr(p, i % percpu_nr_copies()) = i;
		ck_assert_ptr_nonnull(publish_as(p, PERCPU_METRIC_COUNTER, name));
	}
	reader = reader_of(getpid());
	ck_assert_int_eq(percpu_reader_update(reader), 0);
	ck_assert_uint_eq(percpu_reader_nr(reader), 100000);
	for (unsigned i = 0; i < 100000; i++)
		ck_assert_uint_eq(*percpu_reader_words(reader, i, 0, NULL), i);
	ck_assert_uint_le(percpu_reader_own_bytes(reader), 64 << 20);
	percpu_reader_close(reader);
}
END_TEST

/* ---- memory ---- */

START_TEST(reading_makes_no_page)
{
	struct percpu_pool *pool;
	struct percpu_reader *reader;
	uint64_t held;

	with_options("cpus:512");
	pool = published_pool("sparse", 0);
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t __percpu *p = percpu_pool_alloc(pool, 512, 8);

		publish_as(p, PERCPU_METRIC_COUNTER, "n");
		if (i % 100 == 0)
			*percpu_ptr(p, 400) = 1;
	}
	reader = reader_of(getpid());
	held = percpu_reader_held_bytes(reader);
	ck_assert_uint_lt(held, 2 << 20);
	ck_assert_int_eq(percpu_reader_update(reader), 0);
	ck_assert_uint_eq(percpu_reader_nr(reader), 2000);
	for (unsigned i = 0; i < 2000; i++)
		ck_assert_uint_eq(*percpu_reader_words(reader, i, 0, NULL), i % 100 == 0);
	ck_assert_uint_eq(percpu_reader_held_bytes(reader), held);
	percpu_reader_close(reader);
}
END_TEST

/* An area that was freed is zero again, in the copies that another process alone has touched, too. */
START_TEST(what_is_used_again_is_zero)
{
	struct percpu_pool *pool = published_pool("zeroed", 0);
	char __percpu *p = percpu_pool_alloc(pool, 100000, 8);
	struct percpu_reader *reader = reader_of(getpid());
	uint64_t held;
	pid_t child = fork();

	if (!child) {
		for (size_t at = 0; at < 100000; at += 5000)
			percpu_ptr(p, 1)[at] = 1;
		_exit(0);
	}
	status_of(child);
	held = percpu_reader_held_bytes(reader);
	percpu_free(p);
	ck_assert_ptr_eq(percpu_pool_alloc(pool, 100000, 8), p);
	ck_assert_uint_eq(percpu_reader_held_bytes(reader), held);
	percpu_for_each_copy(i)
		for (size_t at = 0; at < 100000; at++)
			ck_assert_int_eq(percpu_ptr(p, i)[at], 0);
	percpu_free(p);
	ck_assert_int_eq(percpu_trim(pool), 0);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
	percpu_reader_close(reader);
	ck_assert_ptr_null(reader_of(getpid()));
}
END_TEST

START_TEST(the_limit_is_kept)
{
	struct percpu_pool *pool = published_pool("limited", 2 * PERCPU_STRIDE);
	void *p[2] = { percpu_pool_alloc(pool, PERCPU_STRIDE, 8), percpu_pool_alloc(pool, PERCPU_STRIDE, 8) };

	ck_assert(p[0] && p[1]);
	errno = 0;
	ck_assert_ptr_null(percpu_pool_alloc(pool, 8, 8));
	ck_assert_int_eq(errno, ENOMEM);
	for (int i = 0; i < 10; i++) {
		percpu_free(p[i % 2]);
		ck_assert_ptr_nonnull(p[i % 2] = percpu_pool_alloc(pool, PERCPU_STRIDE, 8));
	}
}
END_TEST

START_TEST(a_pool_that_cannot_be_is_an_error)
{
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	struct rlimit limit;

	attr.published = PERCPU_ON;
	for (size_t limit_bytes = SIZE_MAX; limit_bytes > (size_t)1 << 50; limit_bytes /= 3) {
		attr.limit_bytes = limit_bytes;
		ck_assert_ptr_null(percpu_pool_create("huge", &attr));
	}
	attr.limit_bytes = 0;
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 1 << 20;
	setrlimit(RLIMIT_FSIZE, &limit);
	errno = 0;
	ck_assert_ptr_null(percpu_pool_create("file size", &attr));
	ck_assert_int_eq(errno, EFBIG);
}
END_TEST

/* A program that closes what it did not open, and gets the number for a file of its own. */
START_TEST(a_descriptor_that_is_taken_over_is_left_alone)
{
	struct percpu_pool *pool = published_pool("closed", 0);
	char __percpu *p = percpu_pool_alloc(pool, 20000, 8);
	int fd, other;

	for (fd = 3; fd < 100; fd++)
		close(fd);
	other = open("/dev/null", O_RDONLY);
	while (other < 99)
		other = dup(other);
	percpu_for_each_copy(i)
		memset(percpu_ptr(p, i), 1, 20000);
	percpu_free(p);
	p = percpu_pool_alloc(pool, 20000, 8);
	percpu_for_each_copy(i)
		for (size_t at = 0; at < 20000; at++)
			ck_assert_int_eq(percpu_ptr(p, i)[at], 0);
	percpu_free(p);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
	for (fd = 3; fd < 99; fd++)
		ck_assert_int_eq(fcntl(fd, F_GETFD) == -1, 0);
}
END_TEST

/* ---- other processes ---- */

#define WORKERS 4
#define ADDS 300000

static void *count(void *p)
{
	for (int i = 0; i < ADDS; i++)
		percpu_inc((uint64_t __percpu *)p);
	return NULL;
}

/* Workers that were forked before the counter was there count in it as well. */
static void counted_exactly(const char *options)
{
	struct percpu_pool *pool;
	struct percpu_reader *reader;
	uint64_t __percpu *p;
	pid_t workers[WORKERS];
	int pipes[2];

	with_options(options);
	pool = published_pool("workers", 0);
	ck_assert_int_eq(pipe(pipes), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = fork();
		if (!workers[i]) {
			pthread_t thread;

			if (read(pipes[0], &p, sizeof(p)) != sizeof(p))
				_exit(1);
			pthread_create(&thread, NULL, count, p);
			count(p);
			pthread_join(thread, NULL);
			_exit(0);
		}
	}
	p = word_in(pool);
	publish_as(p, PERCPU_METRIC_COUNTER, "n");
	for (unsigned i = 0; i < WORKERS; i++)
		ck_assert_int_eq(write(pipes[1], &p, sizeof(p)), sizeof(p));
	count(p);
	for (unsigned i = 0; i < WORKERS; i++)
		ck_assert_int_eq(status_of(workers[i]), 0);
	ck_assert_uint_eq(percpu_sum(p), (2 * WORKERS + 1) * ADDS);
	reader = reader_of(getpid());
	ck_assert_int_eq(percpu_reader_update(reader), 0);
	ck_assert_uint_eq(value_of(reader, "n"), (2 * WORKERS + 1) * ADDS);
}

START_TEST(workers_count_into_the_same_copies)
{
	counted_exactly("");
}
END_TEST

START_TEST(workers_count_without_rseq)
{
	counted_exactly("mode:atomic");
}
END_TEST

START_TEST(only_the_creator_changes_a_pool)
{
	struct percpu_pool *pool = published_pool("owned", 0);
	uint64_t __percpu *p = word_in(pool);
	struct percpu_published *published = publish_as(p, PERCPU_METRIC_COUNTER, "n");
	pid_t child = fork();

	if (!child) {
		bool fine = percpu_usable_size(p) == 8;

		errno = 0;
		fine &= !word_in(pool) && errno == EPERM;
		errno = 0;
		fine &= !publish_as(p, PERCPU_METRIC_COUNTER, "other") && errno == EPERM;
		fine &= percpu_unpublish(published) == -EPERM;
		fine &= percpu_pool_destroy(pool) < 0;
		percpu_inc(p);
		_exit(!fine);
	}
	ck_assert_int_eq(status_of(child), 0);
	child = fork();
	if (!child) {
		percpu_free(p);
		percpu_free_bulk(1, (void __percpu **)&p);
		_exit(percpu_usable_size(p) != 8);
	}
	ck_assert_int_eq(status_of(child), 0);
	ck_assert_uint_eq(percpu_usable_size(p), 8);
	ck_assert_uint_eq(percpu_sum(p), 1);
	ck_assert_int_eq(percpu_unpublish(published), 0);
	percpu_free(p);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

START_TEST(nobody_writes_from_outside)
{
	struct percpu_pool *pool = published_pool("sealed", 0);
	char path[64], link[256];
	int fd;

	ck_assert_ptr_nonnull(pool);
	for (int number = 3; number < 20; number++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", number);
		memset(link, 0, sizeof(link));
		if (readlink(path, link, sizeof(link) - 1) < 0 || !strstr(link, "sealed"))
			continue;
		fd = open(path, O_RDWR);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_lt(pwrite(fd, "x", 1, 0), 0);
		ck_assert_int_lt(ftruncate(fd, 0), 0);
		ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
		return;
	}
	ck_abort_msg("the pool's file was not found");
}
END_TEST

START_TEST(another_user_is_refused)
{
	struct percpu_pool *pool = published_pool("mine", 0);
	struct percpu_reader *reader = NULL;
	const pid_t parent = getpid();
	pid_t child;

	ck_assert_ptr_nonnull(pool);
	if (getuid())
		SKIP("only root can become another user");
	child = fork();
	if (!child) {
		if (setgid(65534) || setuid(65534))
			_exit(2);
		errno = 0;
		_exit(percpu_publishers(parent, open_first, &reader) != -EACCES || percpu_reader_open(parent, 3) || errno != EACCES);
	}
	ck_assert_int_eq(status_of(child), 0);
}
END_TEST

START_TEST(what_is_no_pool_is_said_so)
{
	int null = open("/dev/null", O_RDONLY), pipes[2], other = memfd_create("percpu:other", MFD_ALLOW_SEALING);

	ck_assert_int_eq(pipe(pipes), 0);
	errno = 0;
	ck_assert_ptr_null(percpu_reader_open(getpid(), null));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_null(percpu_reader_open(getpid(), pipes[1]));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_null(percpu_reader_open(getpid(), other));
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_ptr_null(percpu_reader_open(getpid(), 77));
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_ptr_null(percpu_reader_open(0x3fffffff, 3));
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(percpu_publishers(0x3fffffff, open_first, NULL), -ENOENT);
}
END_TEST

static int count_mine(const struct percpu_publisher *publisher, void *arg)
{
	if (!strcmp(publisher->name, "found twice"))
		++*(unsigned *)arg;
	return 0;
}

START_TEST(all_publishers_are_found)
{
	struct percpu_reader *reader;
	unsigned nr = 0;
	pid_t child;

	ck_assert_ptr_nonnull(published_pool("found twice", 0));
	ck_assert_int_eq(percpu_publishers(getpid(), count_mine, &nr), 0);
	ck_assert_uint_eq(nr, 1);
	/* Who only reads is none. */
	reader = reader_of(getpid());
	nr = 0;
	ck_assert_int_eq(percpu_publishers(getpid(), count_mine, &nr), 0);
	ck_assert_uint_eq(nr, 1);
	percpu_reader_close(reader);
	child = fork();
	if (!child) {
		published_pool("found twice", 0);
		pause();
	}
	while (nr != 3) { /* ours, ours in the child, the child's */
		nr = 0;
		ck_assert_int_eq(percpu_publishers(0, count_mine, &nr), 0);
		ck_assert_uint_le(nr, 3);
	}
	end(child);
	nr = 0;
	ck_assert_int_eq(percpu_publishers(0, count_mine, &nr), 0);
	ck_assert_uint_eq(nr, 1);
}
END_TEST

TEST_MAIN("publish", 120, what_is_published_is_read, what_cannot_be_published_is_refused, names_and_labels_of_any_length,
	  the_room_for_descriptions_ends_in_an_error, what_was_removed_is_gone_and_its_room_is_used_again, values_by_domain, histograms_are_merged,
	  a_hundred_thousand_metrics, reading_makes_no_page, what_is_used_again_is_zero, the_limit_is_kept,
	  a_pool_that_cannot_be_is_an_error, a_descriptor_that_is_taken_over_is_left_alone,
	  workers_count_into_the_same_copies, workers_count_without_rseq, only_the_creator_changes_a_pool,
	  nobody_writes_from_outside, another_user_is_refused, what_is_no_pool_is_said_so, all_publishers_are_found)
