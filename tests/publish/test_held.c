/* SPDX-License-Identifier: MIT */
/*
 * What a reader costs: memory and reads in proportion to what the publisher holds, whatever it claims; limits; systems
 * that do not tell holes from memory; threads that are cancelled.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "harness/filter.h"
#include "harness/harness.h"
#include "publish/liar.h"
#include "publish/world.h"

static atomic_size_t bytes_read;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
	long a[6], result;
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	result = __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (number == SYS_pread64 && result > 0)
		bytes_read += result;
	return result;
}

static struct percpu_reader *open_fd(int fd)
{
	struct percpu_reader *reader = percpu_reader_open(getpid(), fd);

	ck_assert_msg(reader, "%s", strerror(errno));
	return reader;
}

/* Updates, and asks for everything. Returns: what the update said. */
static int read_all(struct percpu_reader *reader, uint32_t nr_domains, uint64_t *sum)
{
	const int error = percpu_reader_update(reader);

	*sum = 0;
	for (size_t i = 0; i < percpu_reader_nr(reader); i++)
		for (uint32_t domain = 0; domain < nr_domains; domain++) {
			size_t nr;
			const uint64_t *words = percpu_reader_words(reader, i, domain, &nr);

			while (nr--)
				*sum += words[nr];
		}
	return error;
}

static void check_costs(const struct percpu_reader *reader)
{
	const uint64_t held = percpu_reader_held_bytes(reader), own = percpu_reader_own_bytes(reader);

	ck_assert_msg(own <= 32 * held + (1 << 20), "%lu bytes for %lu held", own, held);
	ck_assert_msg(bytes_read <= 8 * held + (1 << 20), "%zu bytes read for %lu held", (size_t)bytes_read, held);
}

/* ---- claims ---- */

START_TEST(histograms_in_holes_take_no_memory)
{
	struct percpu_reader *reader;
	struct liar liar;
	uint64_t sum;
	int fd;

	liar_begin(&liar, 2, 4095 * 72);
	liar.header.nr_chunks = 512;
	for (unsigned i = 0; i < 4095; i++)
		liar_add(&liar, PERCPU_METRIC_HISTOGRAM, 32768, i / 8 * 2 * LIAR_UNIT_BYTES, 0, "a\0\0", 4);
	fd = liar_end(&liar, "holes");
	liar_count(&liar, fd, 1, 0, 5); /* one has a value */
	reader = open_fd(fd);
	ck_assert_int_eq(read_all(reader, 1, &sum), 0);
	ck_assert_uint_eq(percpu_reader_nr(reader), 4095);
	ck_assert_uint_eq(sum, 8 * 5);
	check_costs(reader);
	percpu_reader_close(reader);
}
END_TEST

/* A page in each copy, and copies told apart. */
static void read_by_copy(struct liar *liar, int fd, uint32_t nr_copies, int want, uint64_t want_sum)
{
	uint32_t *domain_of = calloc(nr_copies, sizeof(*domain_of));
	struct percpu_reader *reader = open_fd(fd);
	uint64_t sum;

	for (uint32_t i = 0; i < nr_copies; i++) {
		domain_of[i] = i;
		liar_count(liar, fd, i, 0, 1);
	}
	ck_assert_int_eq(percpu_reader_group(reader, domain_of, nr_copies), 0);
	ck_assert_int_eq(read_all(reader, nr_copies, &sum), want);
	ck_assert_uint_eq(sum, want_sum);
	check_costs(reader);
	percpu_reader_close(reader);
	free(domain_of);
}

START_TEST(copies_that_are_told_apart_take_what_they_hold)
{
	struct liar liar;
	int fd;

	liar_begin(&liar, 1000, 8 * 72);
	for (unsigned i = 0; i < 8; i++)
		liar_add(&liar, PERCPU_METRIC_HISTOGRAM, 32768, 0, 0, "a\0\0", 4);
	fd = liar_end(&liar, "copies");
	read_by_copy(&liar, fd, 1000, 0, 8 * 1000);
}
END_TEST

START_TEST(names_upon_names_are_too_much)
{
	struct liar liar;
	int fd;

	liar_begin(&liar, 1000, 512 * 72);
	for (unsigned i = 0; i < 512; i++)
		liar_add(&liar, PERCPU_METRIC_HISTOGRAM, 512, 0, 0, "a\0\0", 4);
	fd = liar_end(&liar, "names");
	read_by_copy(&liar, fd, 1000, -E2BIG, 0);
}
END_TEST

START_TEST(labels_without_text_take_what_they_hold)
{
	const size_t nr = 1000000;
	char *text = calloc(1, 4 + 2 * nr);
	struct percpu_reader *reader;
	struct liar liar;
	uint64_t sum;

	text[0] = 'a';
	liar_begin(&liar, 2, 64 + 4 + 2 * nr + 8);
	liar_add(&liar, PERCPU_METRIC_COUNTER, 1, 0, nr, text, 4 + 2 * nr);
	reader = open_fd(liar_end(&liar, "labels"));
	ck_assert_int_eq(read_all(reader, 1, &sum), 0);
	ck_assert_uint_eq(percpu_reader_metric(reader, 0)->nr_labels, nr);
	check_costs(reader);
	percpu_reader_close(reader);
}
END_TEST

/* A directory that is never seen to stand still: of every copy a page, which names of a whole unit would make a unit of. */
START_TEST(a_directory_that_moves_costs_no_more_reads)
{
	const uint32_t nr_copies = 1000;
	struct percpu_reader *reader;
	struct liar liar;
	uint64_t sum;
	int fd;

	liar_begin(&liar, nr_copies, 8 * 72);
	liar.header.changes = 1;
	for (unsigned i = 0; i < 8; i++)
		liar_add(&liar, PERCPU_METRIC_HISTOGRAM, 32768, 0, 0, "a\0\0", 4);
	fd = liar_end(&liar, "moving");
	for (uint32_t i = 0; i < nr_copies; i++)
		liar_count(&liar, fd, i, 0, 1);
	reader = open_fd(fd);
	ck_assert_int_eq(read_all(reader, 1, &sum), 0);
	ck_assert_uint_eq(sum, 8 * nr_copies);
	check_costs(reader);
	percpu_reader_close(reader);
}
END_TEST

/* ---- limits ---- */

START_TEST(a_reader_takes_no_more_than_it_may)
{
	struct percpu_pool *pool = published_pool("limits", 0);
	struct percpu_reader *reader;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t __percpu *p = word_in(pool);

		percpu_inc(p);
		ck_assert_ptr_nonnull(publish_as(p, PERCPU_METRIC_COUNTER, "n"));
	}
	reader = reader_of(getpid());
	percpu_reader_limit(reader, 1 << 20, 0);
	ck_assert_int_eq(percpu_reader_update(reader), -E2BIG);
	ck_assert_uint_eq(percpu_reader_nr(reader), 0);
	ck_assert_uint_le(percpu_reader_own_bytes(reader), 1 << 20);
	percpu_reader_limit(reader, 0, 1);
	ck_assert_int_eq(percpu_reader_update(reader), -ETIME);
	ck_assert_uint_eq(percpu_reader_nr(reader), 0);
	percpu_reader_limit(reader, 0, 0);
	ck_assert_int_eq(percpu_reader_update(reader), 0);
	ck_assert_uint_eq(percpu_reader_nr(reader), 20000);
	ck_assert_uint_eq(value_of(reader, "n"), 1);
	percpu_reader_close(reader);
}
END_TEST

/* ---- other systems ---- */

START_TEST(values_are_read_where_the_system_knows_no_holes)
{
	struct percpu_pool *pool;
	struct percpu_reader *reader;
	uint64_t __percpu *p;

	with_options("cpus:20");
	pool = published_pool("holes", 0);
	p = word_in(pool);
	publish_as(p, PERCPU_METRIC_COUNTER, "n");
	publish_as(word_in(pool), PERCPU_METRIC_COUNTER, "untouched");
	percpu_for_each_copy(i)
		if (i % 3 == 0)
			*percpu_ptr(p, i) = i + 1;
	reader = reader_of(getpid());
	ck_assert(filter_refuse(SYS_lseek, EINVAL));
	ck_assert_int_eq(lseek(0, 0, SEEK_CUR), -1);
	ck_assert_int_eq(percpu_reader_update(reader), 0);
	ck_assert_uint_eq(value_of(reader, "n"), 1 + 4 + 7 + 10 + 13 + 16 + 19);
	ck_assert_uint_eq(value_of(reader, "untouched"), 0);
	percpu_reader_close(reader);
}
END_TEST

/* A file of huge pages says that all of it is memory; nothing needs to be behind it. */
START_TEST(files_of_huge_pages_are_not_read)
{
	int fd = memfd_create("percpu:huge", MFD_ALLOW_SEALING | MFD_HUGETLB);

	if (fd < 0) {
		SKIP("no files of huge pages here");
	}
	ck_assert_int_eq(ftruncate(fd, (off_t)1 << 40), 0);
	errno = 0;
	ck_assert_ptr_null(percpu_reader_open(getpid(), fd));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_null(reader_of(getpid()));
}
END_TEST

/* Words that another CPU stores meanwhile are never seen half: the kernel promises that nowhere, so it is tried. */
#define STORED_BYTES 65536

static atomic_bool is_done;

static void *store(void *words)
{
	for (uint64_t value = 0; !atomic_load(&is_done); value = ~value)
		for (size_t i = 0; i < STORED_BYTES / 8; i++)
			__atomic_store_n((uint64_t *)words + i, value, __ATOMIC_RELAXED);
	return NULL;
}

START_TEST(the_kernel_copies_words_whole)
{
	static uint64_t copy[STORED_BYTES / 8];
	int fd = memfd_create("words", 0);
	size_t nr_of_each[2] = { 0, 0 };
	pthread_t thread;
	void *words;

	ck_assert_int_eq(ftruncate(fd, STORED_BYTES), 0);
	words = mmap(NULL, STORED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(words, MAP_FAILED);
	ck_assert_int_eq(pthread_create(&thread, NULL, store, words), 0);
	for (unsigned round = 0; round < 5000; round++) {
		const size_t bytes = (size_t)8 << round % 14, at = round % 2 * 24 % bytes;

		ck_assert_int_eq(pread(fd, copy, bytes - at, at), bytes - at);
		for (size_t i = 0; i < (bytes - at) / 8; i++) {
			if (copy[i] != 0 && copy[i] != UINT64_MAX)
				ck_abort_msg("%lx", copy[i]);
			nr_of_each[copy[i] & 1]++;
		}
	}
	atomic_store(&is_done, true);
	pthread_join(thread, NULL);
	printf("# %zu and %zu words of each\n", nr_of_each[0], nr_of_each[1]);
}
END_TEST

/* ---- cancellation ---- */

static unsigned nr_open(void)
{
	unsigned nr = 0;

	for (int fd = 0; fd < 1000; fd++)
		nr += fcntl(fd, F_GETFD, 0) >= 0;
	return nr;
}

static int cancel_point(const struct percpu_publisher *publisher, void *arg)
{
	atomic_fetch_add((atomic_int *)arg, 1);
	pthread_testcancel();
	return 0;
}

static void *search(void *nr_visits)
{
	pthread_cancel(pthread_self());
	percpu_publishers(getpid(), cancel_point, nr_visits);
	return NULL;
}

/* A search itself is no point where a thread is cancelled; where its visit is one, nothing stays open. */
START_TEST(a_search_that_is_cancelled_leaves_nothing_open)
{
	atomic_int nr_visits = 0;
	unsigned before;

	if (PERCPU__ASAN)
		SKIP("AddressSanitizer reports an overflow in frames that a cancelled thread leaves");
	ck_assert_ptr_nonnull(published_pool("cancelled", 0));
	before = nr_open();
	for (int i = 0; i < 10; i++) {
		pthread_t thread;
		void *result;

		ck_assert_int_eq(pthread_create(&thread, NULL, search, &nr_visits), 0);
		ck_assert_int_eq(pthread_join(thread, &result), 0);
		ck_assert_ptr_eq(result, PTHREAD_CANCELED);
	}
	ck_assert_int_eq(nr_visits, 10);
	ck_assert_uint_eq(nr_open(), before);
}
END_TEST

TEST_MAIN("publish: held", 120, histograms_in_holes_take_no_memory, copies_that_are_told_apart_take_what_they_hold,
	  names_upon_names_are_too_much, labels_without_text_take_what_they_hold, a_directory_that_moves_costs_no_more_reads,
	  a_reader_takes_no_more_than_it_may, values_are_read_where_the_system_knows_no_holes, files_of_huge_pages_are_not_read,
	  the_kernel_copies_words_whole, a_search_that_is_cancelled_leaves_nothing_open)
