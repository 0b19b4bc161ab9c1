/* SPDX-License-Identifier: MIT */
/*
 * Threads on all CPUs, moved about all the time, allocate, pass on and free at random, while others
 * shrink, look at statistics and fork. Each object carries its owner's mark: an object given twice shows at once, an
 * object lost shows when all are counted.
 */
#include "cache/world.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define NR_THREADS 6
#define NR_SLOTS 512
#define NR_STEPS 600000

struct object {
	uint64_t link[8]; /* the library's while the object is free */
	uint64_t owner;
	uint64_t check;
};

static struct percpu_cache *cache;
static struct object *slots[NR_SLOTS]; /* a thread owns the object that it swaps out */
static uint64_t nr_allocs, nr_frees;
static bool over;

/* An object is free, or has one owner, in turns. */
static struct object *take(uint64_t owner)
{
	struct object *object = percpu_cache_alloc(cache);

	if (!object)
		abort();
	for (unsigned i = 0; i < 8; i++)
		object->link[i] = ~owner;
	if (__atomic_exchange_n(&object->owner, owner, __ATOMIC_RELAXED))
		abort(); /* somebody has it */
	object->check = (uintptr_t)object ^ owner;
	return object;
}

static void give(struct object *object, unsigned to)
{
	const uint64_t owner = __atomic_exchange_n(&object->owner, 0, __ATOMIC_RELAXED);

	if (!owner || object->check != ((uintptr_t)object ^ owner))
		abort(); /* written to by somebody else */
	for (unsigned i = 0; i < 8; i++)
		if (object->link[i] != ~owner)
			abort();
	if (to < percpu_nr_cpus())
		percpu_cache_free_to(cache, object, to);
	else
		percpu_cache_free(cache, object);
}

static void *work(void *arg)
{
	uint64_t number = (uintptr_t)arg, allocs = 0, frees = 0, random = number * 0x9e3779b97f4a7c15u;

	for (unsigned step = 0; step < NR_STEPS; step++) {
		struct object *object, **slot;

		random = random * 6364136223846793005u + 1442695040888963407u;
		slot = &slots[random >> 33 & (NR_SLOTS - 1)];
		object = random >> 63 ? take(number << 32 | (step + 1)) : NULL;
		allocs += object != NULL;
		object = __atomic_exchange_n(slot, object, __ATOMIC_ACQ_REL); /* pairs with itself */
		if (object) {
			give(object, random >> 56 & 15 ? ~0u : (random >> 50 & 1));
			frees++;
		}
		if (!(step & 1023))
			pin(random >> 44 & 1 && nth_cpu(1) >= 0);
	}
	__atomic_fetch_add(&nr_allocs, allocs, __ATOMIC_RELAXED);
	__atomic_fetch_add(&nr_frees, frees, __ATOMIC_RELAXED);
	return NULL;
}

static void *disturb(void *arg)
{
	const struct timespec pause = { .tv_nsec = 2000000 };

	for (unsigned round = 0; !__atomic_load_n(&over, __ATOMIC_RELAXED); round++) {
		nanosleep(&pause, NULL);
		percpu_cache_shrink(cache);
		stats_of(cache);
	}
	return NULL;
}

static void storm(const char *options, bool disturbed, bool forked)
{
	pthread_t threads[NR_THREADS], disturber;
	struct percpu_cache_stats stats;
	size_t nr_held = 0;

	setenv("PERCPU_OPTIONS", options, 1);
	nth_cpu(0);
	/* The bytes of a fresh object are zero, and stay: the link is beyond them where there is a constructor. */
	cache = percpu_cache_create("storm", sizeof(struct object), 0, 0, NULL);
	ck_assert_ptr_nonnull(cache);
	for (size_t i = 0; i < NR_THREADS; i++)
		ck_assert(!pthread_create(&threads[i], NULL, work, (void *)(i + 1)));
	if (disturbed)
		ck_assert(!pthread_create(&disturber, NULL, disturb, NULL));
	for (int i = 0; forked && i < 20; i++) {
		const pid_t child = fork();
		int status;

		/* Magazines are whole in the child. No assertion: another thread may hold Check's lock. */
		if (!child) {
			alarm(PATIENCE_SECONDS);
			for (int n = 0; n < 3000; n++)
				take((uint64_t)77 << 32 | (n + 1));
			percpu_cache_shrink(cache);
			_exit(0);
		}
		ck_assert_int_ge(child, 0);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_int_eq(status, 0);
	}
	for (size_t i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	if (disturbed)
		pthread_join(disturber, NULL);

	for (size_t i = 0; i < NR_SLOTS; i++)
		nr_held += slots[i] != NULL;
	ck_assert_uint_eq(nr_allocs, nr_frees + nr_held);
	stats = stats_of(cache);
	ck_assert_uint_eq(stats.nr_objects, nr_held);
	ck_assert_uint_eq(stats.nr_hits + stats.nr_refills, nr_allocs);
	ck_assert_int_eq(percpu_cache_destroy(cache), nr_held ? -EBUSY : 0);
	for (size_t i = 0; i < NR_SLOTS; i++)
		if (slots[i])
			give(slots[i], ~0u);
	percpu_cache_shrink(cache);
	stats = stats_of(cache);
	ck_assert_uint_eq(stats.nr_slabs + stats.nr_objects + stats.nr_free, 0);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}

START_TEST(every_object_counted)
{
	storm("", false, false);
}
END_TEST

START_TEST(while_shrinking)
{
	storm("", true, false);
}
END_TEST

START_TEST(in_atomic_mode)
{
	storm("mode:atomic", true, false);
}
END_TEST

START_TEST(with_one_cpu)
{
	storm("cpus:1", true, false);
}
END_TEST

START_TEST(while_forking)
{
	storm("", true, true);
}
END_TEST

/*
 * Objects move from one CPU cache to the other while statistics read both. One that is counted as
 * free twice must not make the number of objects negative. The slots and the threads' hands bound it.
 */
#define NR_WANDERING 64

static void *put_in(void *arg)
{
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED))
		for (unsigned i = 0; i < NR_WANDERING; i++) {
			struct object *none = NULL, *object = percpu_cache_alloc(cache);

			if (!__atomic_compare_exchange_n(&slots[i], &none, object, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
				percpu_cache_free(cache, object);
		}
	return arg;
}

static void *take_out(void *arg)
{
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED))
		for (unsigned i = 0; i < NR_WANDERING; i++) {
			struct object *object = __atomic_exchange_n(&slots[i], NULL, __ATOMIC_ACQ_REL);

			if (object)
				percpu_cache_free(cache, object);
		}
	return arg;
}

/* On the nth CPU of those that the process may use, or on the only one. */
static void pinned(pthread_t *thread, void *(*main)(void *), unsigned n)
{
	pthread_attr_t attr;
	cpu_set_t all, one;
	int cpu = 0;

	sched_getaffinity(0, sizeof(all), &all);
	for (n %= (unsigned)CPU_COUNT(&all); !CPU_ISSET(cpu, &all) || n--; cpu++)
		;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(one), &one);
	ck_assert_int_eq(pthread_create(thread, &attr, main, NULL), 0);
	pthread_attr_destroy(&attr);
}

START_TEST(statistics_under_use_do_not_wrap)
{
	pthread_t threads[2];
	size_t nr_absurd = 0, worst = 0;

	cache = percpu_cache_create("wandering", sizeof(struct object), 0, 0, NULL);
	pinned(&threads[0], put_in, 0);
	pinned(&threads[1], take_out, 1);
	for (unsigned i = 0; i < 300000; i++) {
		const struct percpu_cache_stats stats = stats_of(cache);

		if (stats.nr_objects > SIZE_MAX / 2) {
			nr_absurd++;
			worst = stats.nr_objects;
		}
	}
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	ck_assert_msg(!nr_absurd, "nr_objects was absurd %zu times, such as %zu", nr_absurd, worst);
}
END_TEST

TEST_MAIN("stress of caches", 300, statistics_under_use_do_not_wrap, every_object_counted, while_shrinking, in_atomic_mode, with_one_cpu, while_forking)
