/* SPDX-License-Identifier: MIT */
/*
 * No function of the library is a cancellation point: a thread that was cancelled returns from all
 * of them, ends at its own next cancellation point, which may be in a callback, and leaves no
 * descriptor open and no lock taken.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <percpu/percpu.h>

static struct percpu_pool *pool;
static const char *volatile came_to; /* the call that began last */

static int read_it(const struct percpu_publisher *publisher, void *arg)
{
	struct percpu_reader *const reader = percpu_reader_open(publisher->pid, publisher->fd);

	if (reader) {
		percpu_reader_update(reader);
		percpu_reader_close(reader);
	}
	++*(int *)arg;
	return 0;
}

static int end_here(const struct percpu_publisher *publisher, void *arg)
{
	pthread_testcancel(); /* a folder is open while this runs */
	return 0;
}

static void *be_cancelled(void *arg)
{
	pthread_cancel(pthread_self());
	percpu_publishers(*(pid_t *)arg, end_here, NULL);
	return NULL;
}

#define BEGIN(call) (came_to = #call, call)

static void *use_all(void *arg)
{
	const struct percpu_pool_attr attr = { .size = sizeof(attr), .published = PERCPU_ON, .limit_bytes = PERCPU_STRIDE };
	struct percpu_pool_stats stats = { .size = sizeof(stats) };
	struct percpu_cache_stats of_cache = { .size = sizeof(of_cache) };
	const struct percpu_metric metric = { .size = sizeof(metric), .kind = PERCPU_METRIC_COUNTER, .name = "n" };
	struct percpu_cache *cache;
	struct percpu_published *published;
	void *objects[1000];
	uint64_t __percpu *word;

	pthread_cancel(pthread_self());
	BEGIN(percpu_mode());
	percpu_free(BEGIN(percpu_alloc(64, 8)));
	pool = BEGIN(percpu_pool_create("cancelled", &attr));
	word = BEGIN(percpu_pool_alloc(pool, sizeof(*word), 8));
	published = word ? BEGIN(percpu_publish(word, &metric)) : NULL;
	BEGIN(percpu_publishers(getpid(), read_it, arg));
	BEGIN(percpu_publishers(0, read_it, arg));
	cache = BEGIN(percpu_cache_create("cancelled", 200, 0, 0, NULL));
	if (cache && !BEGIN(percpu_cache_alloc_bulk(cache, 1000, objects)))
		percpu_cache_free_bulk(cache, 1000, objects);
	BEGIN(percpu_cache_stats(cache, &of_cache));
	BEGIN(percpu_cache_shrink(cache));
	BEGIN(percpu_cache_destroy(cache));
	BEGIN(percpu_nr_domains(PERCPU_LEVEL_CORE));
	BEGIN(percpu_pool_stats(NULL, &stats));
	BEGIN(percpu_pool_misplaced(NULL));
	BEGIN(percpu_trim(NULL));
	if (published)
		BEGIN(percpu_unpublish(published));
	percpu_free(word);
	BEGIN(percpu_pool_destroy(pool));
	came_to = NULL;
	for (;;)
		pause();
	return arg;
}

static unsigned nr_descriptors(void)
{
	DIR *const folder = opendir("/proc/self/fd");
	unsigned nr = 0;

	while (folder && readdir(folder))
		nr++;
	if (folder)
		closedir(folder);
	return nr;
}

int main(void)
{
	const struct percpu_pool_attr attr = { .size = sizeof(attr), .published = PERCPU_ON, .limit_bytes = PERCPU_STRIDE };
	const unsigned before = nr_descriptors();
	pid_t pids[] = { getpid(), 0 };
	unsigned with_pool;
	bool are_fine = true;
	int nr_read = 0;
	void *result = NULL;
	pthread_t thread;

	if (PERCPU__ASAN) {
		printf("1..0 # SKIP AddressSanitizer reports an overflow in frames of a cancelled thread\n");
		return 0;
	}
	if (pthread_create(&thread, NULL, use_all, &nr_read) || pthread_join(thread, &result))
		return 1;
	printf("%sok 1 - no function of the library is a cancellation point\n", came_to ? "not " : "");
	if (came_to)
		printf("# cancelled in %s\n", came_to);
	printf("%sok 2 - the thread read a pool twice, and then was cancelled\n", nr_read >= 2 && result == PTHREAD_CANCELED ? "" : "not ");
	printf("%sok 3 - no descriptor is left\n", nr_descriptors() == before ? "" : "not ");
	pool = percpu_pool_create("cancelled", &attr);
	with_pool = nr_descriptors();
	for (size_t i = 0; i < 2; i++)
		if (!pool || pthread_create(&thread, NULL, be_cancelled, &pids[i]) || pthread_join(thread, &result) ||
		    result != PTHREAD_CANCELED || nr_descriptors() != with_pool)
			are_fine = false;
	percpu_pool_destroy(pool);
	printf("%sok 4 - no descriptor is left by a cancelled callback\n", are_fine ? "" : "not ");
	percpu_free(percpu_alloc(100000, 8)); /* hangs if a lock was left taken */
	printf("ok 5 - no lock is left taken\n1..5\n");
	return 0;
}
