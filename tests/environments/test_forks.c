/* SPDX-License-Identifier: MIT */
/*
 * Forks thousands of times while threads are in the middle of updates of several steps. A child's
 * memory is that of one moment: each other thread has made some steps of its update, and never
 * makes the others. For every kind of update that runs without a lock, a test says what the child
 * may see of it. FORKS is the number of forks.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/harness.h"

#include <percpu/percpu.h>

#define NR_THREADS 3
#define STEP 1000000

static bool over;

/* The lines of the checks that failed in a child. */
#define must(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			fprintf(stderr, "# line %d: %s\n", __LINE__, #condition);                            \
			_exit(1);                                                                            \
		}                                                                                            \
	} while (0)

static void fork_beside(void *(*busy)(void *arg), void (*look)(void))
{
	const char *asked = getenv("FORKS");
	const unsigned nr = asked ? strtoul(asked, NULL, 10) : 400;
	pthread_t threads[NR_THREADS];

	for (uintptr_t i = 0; i < NR_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, busy, (void *)i), 0);
	for (unsigned i = 0; i < nr; i++) {
		const pid_t child = fork();
		int status;

		if (!child) {
			alarm(60);
			look();
			_exit(0);
		}
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "fork %u: status %#x", i, status);
		sched_yield();
	}
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
}

static bool is_over(void)
{
	return __atomic_load_n(&over, __ATOMIC_RELAXED);
}

/* ---- groups: the fields of a snapshot agree ---- */

static struct percpu_group group;

static void *add_pairs(void *arg)
{
	while (!is_over())
		percpu_group_add(&group, 1, STEP);
	return NULL;
}

/* An interrupted addition has no effect at all, and none of the child's own additions is lost. */
static void look_at_pairs(void)
{
	uint64_t before[2], after[2];

	percpu_group_read(&group, before);
	must(before[1] == before[0] * STEP);
	for (unsigned i = 0; i < 200; i++)
		percpu_group_add(&group, 1, STEP);
	percpu_group_read(&group, after);
	must(after[0] == before[0] + 200 && after[1] == after[0] * STEP);
}

static void pairs(const char *options)
{
	setenv("PERCPU_OPTIONS", options, 1);
	ck_assert_int_eq(percpu_group_init(&group, 2), 0);
	fork_beside(add_pairs, look_at_pairs);
	percpu_group_fini(&group);
}

START_TEST(groups)
{
	pairs("");
}
END_TEST

/* A claim of another thread is never released in the child, and the child does not wait for it. */
START_TEST(groups_without_sections)
{
	pairs("mode:atomic");
}
END_TEST

/* ---- histograms: a value is noted in the summary, then counted ---- */

static struct percpu_histogram histogram;

static void *record(void *arg)
{
	while (!is_over())
		percpu_histogram_record(&histogram, STEP);
	return NULL;
}

/*
 * So an interrupted value is in the summary alone, one for each thread at most. Every counted value
 * is in the summary.
 */
static void look_at_histogram(void)
{
	static uint64_t counts[4096];
	struct percpu_histogram_data data = { .counts = counts };
	uint64_t nr;

	percpu_histogram_read(&histogram, &data);
	nr = data.nr;
	must(data.sum >= nr * STEP && data.sum <= (nr + NR_THREADS) * STEP);
	must(!nr || (data.min == STEP && data.max == STEP));
	for (unsigned i = 0; i < 100; i++)
		percpu_histogram_record(&histogram, STEP);
	percpu_histogram_read(&histogram, &data);
	must(data.nr == nr + 100 && data.sum >= data.nr * STEP && data.sum <= (data.nr + NR_THREADS) * STEP);
}

static void histograms(const char *options)
{
	setenv("PERCPU_OPTIONS", options, 1);
	ck_assert_int_eq(percpu_histogram_init(&histogram, NULL, 1, 2 * STEP, 4), 0);
	fork_beside(record, look_at_histogram);
	percpu_histogram_fini(&histogram);
}

START_TEST(histograms_with_sections)
{
	histograms("");
}
END_TEST

START_TEST(histograms_without_sections)
{
	histograms("mode:atomic");
}
END_TEST

/* ---- lists: a node is linked, then becomes the head ---- */

#define NR_NODES 64

static struct percpu_list __percpu *list;
static struct node {
	struct percpu_list_node link;
	uint64_t key;
} nodes[NR_NODES];

static void *take_and_put(void *arg)
{
	while (!is_over()) {
		struct percpu_list_node *node = percpu_list_pop(list);

		if (node)
			percpu_list_push(list, node);
	}
	return NULL;
}

/* Every node is in one list, except for one that each thread has in hand. */
static void look_at_lists(void)
{
	unsigned nr = 0, seen[NR_NODES] = { 0 };

	percpu_for_each_copy(i) {
		for (struct percpu_list_node *node = percpu_ptr(list, i)->head; node; node = node->next) {
			const size_t which = (struct node *)node - nodes;

			must(which < NR_NODES && !seen[which]++ && nodes[which].key == which && ++nr <= NR_NODES);
		}
	}
	must(nr + NR_THREADS >= NR_NODES);
}

START_TEST(lists)
{
	list = percpu_new(struct percpu_list);
	for (unsigned i = 0; i < NR_NODES; i++) {
		nodes[i].key = i;
		percpu_list_push(list, &nodes[i].link);
	}
	fork_beside(take_and_put, look_at_lists);
}
END_TEST

/* ---- counters: copies, their folded parts, and the base ---- */

static struct percpu_counter counter;

static void *count(void *arg)
{
	for (unsigned i = 0; !is_over(); i++) {
		percpu_counter_add(&counter, 7);
		percpu_counter_add(&counter, STEP);
		percpu_counter_add(&counter, -STEP);
		if (i % 64 == 0 && arg == NULL)
			percpu_counter_set(&counter, 1000);
	}
	return NULL;
}

static void look_at_counter(void)
{
	const int64_t sum = percpu_counter_sum(&counter), read = percpu_counter_read(&counter);

	must(read - sum < (int64_t)percpu_counter_error(&counter) + NR_THREADS * 64 &&
	     sum - read < (int64_t)percpu_counter_error(&counter) + NR_THREADS * 64);
	percpu_counter_add(&counter, 5);
	must(percpu_counter_sum(&counter) == sum + 5);
	percpu_counter_set(&counter, -3);
	must(percpu_counter_sum(&counter) == -3);
}

START_TEST(counters)
{
	ck_assert_int_eq(percpu_counter_init(&counter, 0, 0), 0);
	fork_beside(count, look_at_counter);
	percpu_counter_fini(&counter);
}
END_TEST

/* ---- descriptions: their directory is shared, so that the parent completes an update ---- */

static struct percpu_pool *pool;
static uint64_t __percpu *value;

static void *publish(void *arg)
{
	while (!is_over()) {
		const struct percpu_metric metric = { .size = sizeof(metric), .kind = PERCPU_METRIC_COUNTER, .name = "n" };
		uint64_t __percpu *p = percpu_pool_alloc(pool, 8 + 8 * (uintptr_t)arg, 8);
		struct percpu_published *published = percpu_publish(p, &metric);

		if (!p || !published || percpu_unpublish(published))
			abort();
		percpu_free(p);
	}
	return NULL;
}

/* The parent still owns the pool; a pool that the child creates is like any other. */
static void look_at_pools(void)
{
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	struct percpu_pool *own;
	uint64_t __percpu *p;

	must(!percpu_pool_alloc(pool, 8, 8) && percpu_usable_size(value) == 8);
	percpu_inc(value);
	percpu_free(value);
	attr.published = PERCPU_ON;
	attr.limit_bytes = 4096;
	own = percpu_pool_create("own", &attr);
	must(own && (p = percpu_pool_alloc(own, 8, 8)));
	percpu_free(p);
	must(percpu_pool_destroy(own) == 0);
}

START_TEST(published_pools)
{
	struct percpu_pool_attr attr = PERCPU_POOL_ATTR_INIT;
	const char *asked = getenv("FORKS");

	attr.published = PERCPU_ON;
	attr.limit_bytes = 1 << 16;
	pool = percpu_pool_create("storm", &attr);
	ck_assert_ptr_nonnull(value = percpu_pool_alloc(pool, 8, 8));
	fork_beside(publish, look_at_pools);
	ck_assert_uint_eq(percpu_sum(value), asked ? strtoul(asked, NULL, 10) : 400);
	percpu_free(value);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* ---- bookkeeping of options ---- */

static void *allocate(void *arg)
{
	while (!is_over()) {
		void __percpu *p[20];

		for (unsigned i = 0; i < 20; i++)
			if (!(p[i] = percpu_alloc(8 + 8 * i, 8)))
				abort();
		percpu_free_bulk(20, p);
	}
	return NULL;
}

static void look_at_areas(void)
{
	struct percpu_pool_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	uint64_t __percpu *p[40];

	must(!percpu_pool_stats(NULL, &before));
	for (unsigned i = 0; i < 40; i++) {
		p[i] = percpu_alloc(8 + 8 * i, 8);
		must(p[i] && percpu_sum(p[i]) == 0 && percpu_sum(p[i] + i) == 0);
		percpu_inc(p[i]);
	}
	percpu_free_bulk(40, (void __percpu **)p);
	must(percpu_trim(NULL) >= 0);
	must(!percpu_pool_stats(NULL, &after) && after.nr_live == before.nr_live);
	must(before.nr_live <= NR_THREADS * 21 + 8); /* what the threads had in hand, and the library itself */
}

START_TEST(areas)
{
	static const char *const options[] = { "", "check", "leaks", "mode:atomic", "cpus:64" };

	setenv("PERCPU_OPTIONS", options[_i], 1);
	fork_beside(allocate, look_at_areas);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { groups, groups_without_sections, histograms_with_sections,
				       histograms_without_sections, lists, counters, published_pools, NULL };
	Suite *suite = suite_of("environments: forks", tests, 1800);
	TCase *options = case_of("options");

	tcase_set_timeout(options, 1800);
	tcase_add_loop_test(options, areas, 0, 5);
	suite_add_tcase(suite, options);
	return run_suite(suite);
}
