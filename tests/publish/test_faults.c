/* SPDX-License-Identifier: MIT */
/*
 * Publishers that die, change and lie. Whatever a reader finds, it neither crashes nor hangs, says what
 * happened, and what it gives out is whole: a name goes with the value that its metric had.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#include "harness/harness.h"
#include "publish/world.h"

/* Reads everything, so that tools that check memory see it. Returns: a number that depends on it. */
static uint64_t touch(const struct percpu_reader *reader, uint32_t nr_domains)
{
	uint64_t sum = percpu_reader_held_bytes(reader) + strlen(percpu_reader_name(reader));

	for (size_t i = 0; i < percpu_reader_nr(reader); i++) {
		const struct percpu_metric *metric = percpu_reader_metric(reader, i);

		sum += strlen(metric->name) + strlen(metric->unit) + strlen(metric->help);
		for (uint32_t label = 0; label < metric->nr_labels; label++)
			sum += strlen(metric->labels[label].name) + strlen(metric->labels[label].value);
		for (uint32_t domain = 0; domain < nr_domains; domain++) {
			size_t nr;
			const uint64_t *words = percpu_reader_words(reader, i, domain, &nr);

			for (size_t word = 0; word < nr; word++)
				sum += words[word];
			ck_assert_uint_eq(nr, metric->shape ? 4 + metric->shape->nr_buckets : 1);
		}
	}
	return sum;
}

/* ---- those that change ---- */

/*
 * Publishes and removes until it is killed. A metric's name, help and labels are one number again and again, of a length
 * that depends on it, and its value is that number.
 */
static void churn(const char *name, unsigned seed)
{
	struct percpu_pool *pool = published_pool(name, 1 << 20);
	struct percpu_published *published[64] = { NULL };
	uint64_t __percpu *p[64] = { NULL };
	char text[256];

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
	for (uint64_t number = seed;; number++) {
		const unsigned i = number * 7 % 64;
		const struct percpu_label label = { text, text };
		const struct percpu_metric metric = { .size = sizeof(metric), .kind = PERCPU_METRIC_COUNTER, .name = text,
						      .help = text, .labels = &label, .nr_labels = 1 };
		int at = 0;

		if (published[i]) {
			percpu_unpublish(published[i]);
			percpu_free(p[i]);
		}
		p[i] = word_in(pool);
		*percpu_ptr(p[i], number % percpu_nr_copies()) = number;
		for (unsigned repeat = 0; repeat <= number % 20; repeat++)
			at += snprintf(text + at, sizeof(text) - at, "%lu,", number);
		published[i] = percpu_publish(p[i], &metric);
	}
}

static void check_whole(const struct percpu_reader *reader)
{
	for (size_t i = 0; i < percpu_reader_nr(reader); i++) {
		const struct percpu_metric *metric = percpu_reader_metric(reader, i);
		const uint64_t number = strtoull(metric->name, NULL, 10);
		const char *at = metric->name;
		unsigned repeats = 0;

		for (; *at; repeats++, at++)
			ck_assert_uint_eq(strtoull(at, (char **)&at, 10), number);
		ck_assert_uint_eq(repeats, number % 20 + 1);
		ck_assert_str_eq(metric->help, metric->name);
		ck_assert_uint_eq(metric->nr_labels, 1);
		ck_assert_str_eq(metric->labels[0].name, metric->name);
		ck_assert_str_eq(metric->labels[0].value, metric->name);
		ck_assert_uint_eq(*percpu_reader_words(reader, i, 0, NULL), number);
	}
}

static struct percpu_reader *wait_for_reader(pid_t pid)
{
	struct percpu_reader *reader;

	while (!(reader = reader_of(pid)))
		usleep(100);
	return reader;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec * 1e-9;
}

START_TEST(what_is_read_of_a_changing_publisher_is_whole)
{
	pid_t child = fork();
	struct percpu_reader *reader;
	unsigned nr_updates = 0;
	size_t nr_read = 0;

	if (!child)
		churn("changing", 0);
	reader = wait_for_reader(child);
	for (double end = now() + 2; now() < end; nr_updates++) {
		ck_assert_int_eq(percpu_reader_update(reader), 0);
		check_whole(reader);
		ck_assert_uint_le(percpu_reader_nr(reader), 64);
		nr_read += percpu_reader_nr(reader);
	}
	ck_assert_uint_gt(nr_read, 10 * nr_updates);
	end(child);
	percpu_reader_close(reader);
}
END_TEST

/* What the header says of changes: the file itself is asked. */
static uint64_t changes_of(int fd)
{
	uint64_t changes;

	ck_assert_int_eq(pread(fd, &changes, sizeof(changes), 128), sizeof(changes));
	return changes;
}

static int open_file(const struct percpu_publisher *publisher, void *arg)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", publisher->pid, publisher->fd);
	*(int *)arg = open(path, O_RDONLY);
	return 1;
}

START_TEST(a_publisher_is_killed_a_thousand_times)
{
	unsigned nr_halfway = 0;

	for (unsigned i = 0; i < 1000; i++) {
		pid_t child = fork();
		struct percpu_reader *reader;
		int result, fd = -1;

		if (!child)
			churn("dying", i);
		reader = wait_for_reader(child);
		percpu_publishers(child, open_file, &fd);
		usleep(i * 37 % 700);
		result = percpu_reader_update(reader);
		ck_assert_int_eq(result, 0);
		check_whole(reader);
		kill(child, SIGKILL);
		result = percpu_reader_update(reader);
		ck_assert(result == 0 || result == -ESRCH);
		check_whole(reader);
		status_of(child);
		ck_assert_int_eq(percpu_reader_update(reader), -ESRCH);
		check_whole(reader);
		nr_halfway += changes_of(fd) % 2;
		close(fd);
		percpu_reader_close(reader);
		errno = 0;
		ck_assert_ptr_null(percpu_reader_open(child, 3));
		ck_assert_int_eq(errno, ENOENT);
	}
	ck_assert_uint_gt(nr_halfway, 0);
	printf("# %u of 1000 died in the middle of a change\n", nr_halfway);
}
END_TEST

/* ---- those that lie ---- */

#define FRONT_BYTES 8192 /* of the honest file, header and records */

static unsigned char honest[FRONT_BYTES];
static off_t honest_bytes;

/* A small file as the library makes it. */
static void make_honest(void)
{
	static const struct percpu_label labels[] = { { "a", "1" }, { "b", "2" } };
	struct percpu_pool *pool = published_pool("honest", 4096);
	struct percpu_histogram histogram;
	char path[64], link[64];

	for (unsigned i = 0; i < 20; i++) {
		const struct percpu_metric metric = { .size = sizeof(metric), .kind = 1 + i % 2, .name = "some_metric",
						      .unit = "bytes", .help = "Some help.", .labels = labels,
						      .nr_labels = i % 3 };

		ck_assert_ptr_nonnull(percpu_publish(word_in(pool), &metric));
	}
	ck_assert_int_eq(percpu_histogram_init(&histogram, pool, 1, 1000, 3), 0);
	const struct percpu_metric metric = { .size = sizeof(metric), .kind = PERCPU_METRIC_HISTOGRAM, .name = "histogram",
					      .shape = &histogram.shape };
	ck_assert_ptr_nonnull(percpu_publish(histogram.copies, &metric));
	for (int fd = 3; fd < 100; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		const ssize_t length = readlink(path, link, sizeof(link) - 1);

		link[length > 0 ? length : 0] = '\0';
		if (strncmp(link, "/memfd:percpu:honest", 20))
			continue;
		struct stat stat;

		ck_assert_int_eq(fstat(fd, &stat), 0);
		honest_bytes = stat.st_size;
		ck_assert_int_eq(pread(fd, honest, sizeof(honest), 0), sizeof(honest));
		return;
	}
	ck_abort_msg("not found");
}

/* A file with these bytes in front. */
static int lie(const unsigned char *front, size_t front_bytes, off_t bytes)
{
	int fd = memfd_create("percpu:liar", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, bytes), 0);
	if (bytes < (off_t)front_bytes)
		front_bytes = bytes;
	ck_assert_int_eq(pwrite(fd, front, front_bytes, 0), front_bytes);
	return fd;
}

static bool is_documented(int error)
{
	return error == -EPROTO || error == -ENOMEM || error == -E2BIG || error == -EIO;
}

/* Whether anything of it was believed. */
static bool read_lie(int fd)
{
	struct percpu_reader *reader;
	bool believed = false;
	int result;

	errno = 0;
	reader = percpu_reader_open(getpid(), fd);
	if (reader) {
		uint32_t domain_of[65537];

		result = percpu_reader_update(reader);
		ck_assert_msg(!result || is_documented(result), "%s", strerror(-result));
		ck_assert(!result || !percpu_reader_nr(reader));
		touch(reader, 1);
		believed = percpu_reader_nr(reader);
		for (unsigned i = 0; i < 65537; i++)
			domain_of[i] = i % 3;
		ck_assert_int_eq(percpu_reader_group(reader, domain_of, 3), 0);
		percpu_reader_update(reader);
		touch(reader, 3);
		percpu_reader_close(reader);
	} else {
		ck_assert_msg(is_documented(-errno), "%s", strerror(errno));
	}
	close(fd);
	return believed;
}

static uint64_t chance(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d) >> 11;
}

START_TEST(what_is_honest_is_believed)
{
	make_honest();
	ck_assert(read_lie(lie(honest, sizeof(honest), honest_bytes)));
}
END_TEST

START_TEST(files_of_any_length)
{
	make_honest();
	for (off_t bytes = 0; bytes < FRONT_BYTES; bytes += bytes < 300 ? 1 : 61)
		ck_assert(!read_lie(lie(honest, sizeof(honest), bytes)));
	for (off_t bytes = honest_bytes - 3; bytes < honest_bytes; bytes++)
		ck_assert(!read_lie(lie(honest, sizeof(honest), bytes)));
}
END_TEST

/* Every word of header and records, one after the other, is each of the numbers that go wrong. */
START_TEST(words_that_lie)
{
	static const uint64_t numbers[] = { 0, 1, 2, 3, 7, 8, 9, 63, 64, 255, 4095, 4096, PERCPU_STRIDE - 1, PERCPU_STRIDE,
					    PERCPU_STRIDE + 8, UINT32_MAX - 1, UINT32_MAX, (uint64_t)UINT32_MAX + 1,
					    (uint64_t)1 << 30, ((uint64_t)1 << 30) + 8, (uint64_t)1 << 40, INT64_MAX, (uint64_t)1 << 63,
					    UINT64_MAX - 7, UINT64_MAX };
	unsigned char front[FRONT_BYTES];

	make_honest();
	for (size_t at = 0; at < FRONT_BYTES; at += 4) {
		if (at >= 512 && at < 4096)
			continue;
		if (at > 4096 + 512 && at % 52)
			continue;
		for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
			memcpy(front, honest, sizeof(front));
			memcpy(front + at, &numbers[i], at % 8 ? 4 : 8);
			read_lie(lie(front, sizeof(front), honest_bytes));
		}
	}
}
END_TEST

START_TEST(bytes_by_chance)
{
	unsigned char front[FRONT_BYTES];
	uint64_t state = 1;

	make_honest();
	for (unsigned round = 0; round < 3000; round++) {
		memcpy(front, honest, sizeof(front));
		for (unsigned changes = 1 + chance(&state) % 20; changes; changes--) {
			const size_t at = chance(&state) % 3 ? 4096 + chance(&state) % 2000 : chance(&state) % 200;

			front[at] = chance(&state);
		}
		read_lie(lie(front, sizeof(front), honest_bytes));
		for (size_t at = round % 2 ? 8 : 4096; at < sizeof(front); at++)
			front[at] = chance(&state);
		read_lie(lie(front, sizeof(front), honest_bytes));
	}
}
END_TEST

/* A file of terabytes that holds a page: nothing takes as long, or as much memory, as it claims to need. */
START_TEST(claims_that_nothing_stands_behind)
{
	unsigned char front[FRONT_BYTES];
	uint64_t *words = (uint64_t *)front;

	make_honest();
	for (unsigned kind = 0; kind < 4; kind++) {
		uint64_t directory = (uint64_t)1 << 30, copies = 65537, chunks = (uint64_t)1 << 25;

		memcpy(front, honest, sizeof(front));
		if (kind & 1) {
			words[1] = words[1] << 32 >> 32 | copies << 32; /* nr_copies */
			words[3] = chunks / copies;
		}
		if (kind & 2)
			words[17] = directory - 8; /* used_bytes */
		words[7] = directory;
		words[8] = words[6] + directory;
		read_lie(lie(front, sizeof(front), (off_t)1 << 45));
	}
}
END_TEST

static atomic_bool is_done;

static void *cut(void *arg)
{
	int fd = *(int *)arg;

	while (!atomic_load(&is_done)) {
		if (ftruncate(fd, 5000) || ftruncate(fd, honest_bytes) || pwrite(fd, honest, sizeof(honest), 0) < 0)
			return arg;
	}
	return NULL;
}

START_TEST(a_file_that_is_cut_off_under_the_reader)
{
	struct percpu_reader *reader = NULL;
	unsigned nr_read = 0, nr_refused = 0;
	pthread_t thread;
	int fd;

	make_honest();
	fd = lie(honest, sizeof(honest), honest_bytes);
	ck_assert_int_eq(pthread_create(&thread, NULL, cut, &fd), 0);
	for (double end = now() + 1; now() < end;) {
		if (!reader)
			reader = percpu_reader_open(getpid(), fd);
		if (!reader)
			continue;
		const int result = percpu_reader_update(reader);

		ck_assert(!result || is_documented(result));
		touch(reader, 1);
		nr_read += !result;
		nr_refused += !!result;
	}
	atomic_store(&is_done, true);
	pthread_join(thread, NULL);
	ck_assert_ptr_nonnull(reader);
	printf("# read %u times, refused %u times\n", nr_read, nr_refused);
	percpu_reader_close(reader);
}
END_TEST

TEST_MAIN("publish: faults", 300, what_is_read_of_a_changing_publisher_is_whole, a_publisher_is_killed_a_thousand_times,
	  what_is_honest_is_believed, files_of_any_length, words_that_lie, bytes_by_chance,
	  claims_that_nothing_stands_behind, a_file_that_is_cut_off_under_the_reader)
