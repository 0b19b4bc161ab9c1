/* SPDX-License-Identifier: MIT */
/*
 * Memory that a program needs again soon stays; memory that is no longer needed goes back to the
 * kernel within the decay, on the next operations of any thread. The test sets the clock and counts
 * madvise.
 */
#include "cache/cache.h"
#include "cache/world.h"

#include <sys/resource.h>

#define DECAY 3000u /* of a cache that says nothing */
#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define UNIT PERCPU__ARENA_UNIT

static const char *const modes[] = { "", "mode:atomic", "check", "cpus:512" };
#define NR_MODES ((int)(sizeof(modes) / sizeof(modes[0])))

static uint64_t clock_ms = 1000000;

static void later(uint64_t ms)
{
	clock_ms += ms;
	percpu__set_clock(clock_ms);
}

/* Check forks for each test, before the library starts. */
static void enter_mode(int i)
{
	setenv("PERCPU_OPTIONS", modes[i], 1);
	pin(0);
	later(1);
}

static size_t nr_purges;
int __real_percpu__purge(void *start, size_t bytes);
int __wrap_percpu__purge(void *start, size_t bytes);

int __wrap_percpu__purge(void *start, size_t bytes)
{
	nr_purges++;
	return __real_percpu__purge(start, bytes);
}

static struct percpu_cache *cache_that(size_t keep_bytes, size_t decay_ms)
{
	const struct percpu_cache_attr attr = { .size = sizeof(attr), .keep_bytes = keep_bytes, .decay_ms = decay_ms };
	struct percpu_cache *cache = percpu_cache_create_attr("aged", 1024, 0, 0, NULL, &attr);

	ck_assert_ptr_nonnull(cache);
	return cache;
}

/* Goes past the list of the CPU, whatever lies in it, and leaves nothing in use. */
static void come_by(void *cache)
{
	struct lot lot = lot_of(cache, 600);

	free_lot(&lot);
	free(lot.objects);
}

/* A cache of few objects, for those who come by and are no part of what is looked at. */
static struct percpu_cache *passer_by(void)
{
	return cache_of(64);
}

static void touch(const struct lot *lot)
{
	for (size_t i = 0; i < lot->nr; i++)
		*(char *)lot->objects[i] = 1;
}

static long nr_faults(void)
{
	struct rusage usage;

	ck_assert(!getrusage(RUSAGE_THREAD, &usage));
	return usage.ru_minflt;
}

/* Bytes that magazines, depots and remote free lists keep in any case. */
static size_t held_bytes(struct percpu_cache *cache)
{
	const struct percpu_cache_stats stats = stats_of(cache);

	return stats.nr_slabs * stats.slab_bytes;
}

/* ---- swings ---- */

static void swing(struct lot *lot, uint64_t half_ms)
{
	alloc_lot(lot);
	touch(lot);
	later(half_ms);
	free_lot(lot);
	later(half_ms);
}

static void check_swing(size_t size, size_t bytes)
{
	struct percpu_cache *cache = cache_of(size);
	struct lot lot = { cache, bytes / size, calloc(bytes / size, sizeof(void *)), 0 };
	size_t nr_slabs;
	long faults;

	memset(lot.objects, 1, lot.nr * sizeof(void *));
	swing(&lot, 0);
	nr_slabs = stats_of(cache).nr_slabs;
	nr_purges = 0;
	faults = nr_faults();
	for (int i = 0; i < 20; i++)
		swing(&lot, 300);
	ck_assert_msg(nr_faults() - faults <= (PERCPU__ASAN ? 64 : 16), /* its shadow has some, too */
		      "%zu x %zu bytes: %ld page faults", lot.nr, size, nr_faults() - faults);
	ck_assert_uint_eq(nr_purges, 0);
	ck_assert_uint_eq(stats_of(cache).nr_slabs, nr_slabs);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
	free(lot.objects);
}

START_TEST(a_swing_faults_once)
{
	static const size_t sizes[] = { 64, 1024, 4096, 16384 };

	enter_mode(_i);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t bytes = 64 * KIB; bytes <= 16 * MIB; bytes *= 4)
			check_swing(sizes[i], bytes);
}
END_TEST

/*
 * Memory that only some of the swings need stays as long as such swings come: they are 900 ms apart.
 */
START_TEST(a_large_swing_among_small_ones)
{
	struct percpu_cache *cache;
	struct lot large, small;

	enter_mode(_i);
	cache = cache_of(1024);
	large = lot_of(cache, 8 * KIB);
	free_lot(&large);
	small = (struct lot){ cache, KIB, calloc(KIB, sizeof(void *)), 0 };
	nr_purges = 0;
	for (int i = 0; i < 40; i++) {
		if (i % 4)
			swing(&small, 100);
		else
			swing(&large, 150);
	}
	ck_assert_uint_eq(nr_purges, 0);
	/* No large one comes any more. */
	for (int i = 0; i < 40; i++)
		swing(&small, 100);
	ck_assert_uint_ge(stats_of(cache).nr_returned_slabs, (8 * MIB - 3 * MIB) / UNIT);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* ---- idle memory ---- */

START_TEST(idle_memory_goes_back_in_the_time_stated)
{
	struct percpu_cache *cache;
	struct lot lot;

	enter_mode(_i);
	cache = cache_of(1024);
	lot = lot_of(cache, 8 * KIB);
	later(DECAY);
	free_lot(&lot);
	come_by(cache);
	for (int i = 0; i < 14; i++) {
		later(100);
		come_by(cache);
	}
	ck_assert_uint_eq(stats_of(cache).nr_returned_slabs, 0);
	for (int i = 0; i < 16; i++) {
		later(100);
		come_by(cache);
	}
	/* The objects in use take 600 KiB; magazine and depot keep half a MiB. */
	ck_assert_uint_le(held_bytes(cache), 2 * MIB);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

START_TEST(the_first_after_a_pause_finds_all)
{
	struct percpu_cache *cache;
	struct lot lot;

	enter_mode(_i);
	cache = cache_of(4096);
	lot = lot_of(cache, 32 * KIB);
	free_lot(&lot);
	ck_assert_uint_ge(held_bytes(cache), 128 * MIB);
	later(DECAY);
	come_by(passer_by());
	ck_assert_uint_le(held_bytes(cache), MIB);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

static size_t given_bytes(struct percpu_cache *cache)
{
	return __atomic_load_n(&percpu__cache_of(cache)->nr_returned, __ATOMIC_RELAXED) * UNIT << percpu__cache_of(cache)->order;
}

static size_t most_bytes; /* that one operation gave back */

static void note_bytes(struct percpu_cache *cache, size_t before)
{
	const size_t bytes = given_bytes(cache) - before;

	most_bytes = bytes > most_bytes ? bytes : most_bytes;
}

/* Operations of which each is looked at. */
static void come_by_watched(struct percpu_cache *cache, struct lot *lot)
{
	for (size_t i = 0; i < lot->nr; i++) {
		const size_t before = given_bytes(cache);

		lot->objects[i] = percpu_cache_alloc(cache);
		note_bytes(cache, before);
	}
	for (size_t i = 0; i < lot->nr; i++) {
		const size_t before = given_bytes(cache);

		percpu_cache_free(cache, lot->objects[i]);
		note_bytes(cache, before);
	}
}

/*
 * One operation gives back 16 MiB of its own CPU cache and 16 MiB of all, and 4 more for each
 * millisecond since the last one; later operations continue.
 */
START_TEST(no_operation_gives_back_much)
{
	struct percpu_cache *cache;
	struct lot lot, few;

	enter_mode(_i);
	cache = cache_of(65536);
	lot = lot_of(cache, 4096);
	few = (struct lot){ cache, 20, calloc(20, sizeof(void *)), 0 };
	free_lot(&lot);
	for (int i = 0; i < (int)DECAY; i++) {
		later(1);
		come_by_watched(cache, &few);
	}
	ck_assert_uint_ge(most_bytes, 16 * MIB);
	ck_assert_uint_le(most_bytes, 2 * (16 + 4) * MIB);
	ck_assert_uint_le(held_bytes(cache), 8 * MIB);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
	free(few.objects);
}
END_TEST

/* Side by side as they are, slabs go back together, whatever the order in which they became empty. */
START_TEST(slabs_go_back_in_runs)
{
	struct percpu_cache *cache;
	struct lot lot;
	uint64_t random = 1;

	enter_mode(_i);
	cache = cache_of(1024);
	lot = lot_of(cache, 64 * 256);
	for (size_t i = lot.nr; i-- > 1;) {
		const size_t other = (random = random * 6364136223846793005u + 1442695040888963407u) % (i + 1);
		void *const object = lot.objects[i];

		lot.objects[i] = lot.objects[other];
		lot.objects[other] = object;
	}
	free_lot(&lot);
	nr_purges = 0;
	ck_assert_int_ge(percpu_cache_shrink(cache), 256 * UNIT);
	ck_assert_uint_le(nr_purges, 256 / 16);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* ---- CPUs and caches gone quiet ---- */

static void pass_the_time(struct percpu_cache *other, uint64_t ms)
{
	for (uint64_t at = 0; at < ms; at += 100) {
		later(100);
		come_by(other);
	}
}

START_TEST(a_cache_gone_quiet)
{
	struct percpu_cache *cache, *other;
	struct lot lot;

	enter_mode(_i);
	cache = cache_of(1024);
	other = passer_by();
	lot = lot_of(cache, 8 * KIB);
	free_lot(&lot);
	pass_the_time(other, DECAY / 2 - 100);
	ck_assert_uint_eq(stats_of(cache).nr_returned_slabs, 0);
	pass_the_time(other, DECAY / 2 + 100);
	ck_assert_uint_eq(stats_of(cache).nr_slabs, 0); /* what lay in the list, too */
	ck_assert_uint_ge(stats_of(cache).nr_returned_slabs, 8 * MIB / UNIT);
	alloc_lot(&lot);
	touch(&lot);
	free_lot(&lot);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

static void alloc_and_free(void *arg)
{
	alloc_lot(arg);
	free_lot(arg);
}

START_TEST(a_cpu_gone_quiet)
{
	struct percpu_cache *cache;
	struct lot lot;

	SKIP_IF(nth_cpu(1) < 0 ? "one CPU alone" : NULL);
	enter_mode(_i);
	cache = cache_of(1024);
	lot = (struct lot){ cache, 8 * KIB, calloc(8 * KIB, sizeof(void *)), 0 };
	on_cpu(1, alloc_and_free, &lot);
	pass_the_time(cache, DECAY);
	ck_assert_uint_le(held_bytes(cache), 2 * MIB); /* of this CPU */
	on_cpu(1, alloc_and_free, &lot);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* It had given all away, and others freed it: that lies in its remote list, and in their batches. */
START_TEST(remote_frees_to_a_quiet_cpu)
{
	struct percpu_cache *cache, *other;
	struct lot lot;

	SKIP_IF(nth_cpu(1) < 0 ? "one CPU alone" : NULL);
	enter_mode(_i);
	cache = cache_of(1024);
	other = passer_by();
	lot = lot_of(cache, 8 * KIB);
	on_cpu(1, free_lot, &lot);
	pass_the_time(other, DECAY);
	ck_assert_uint_eq(stats_of(cache).nr_slabs, 0);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* A CPU that works on its list alone is not quiet: nothing of it is taken away. */
START_TEST(a_list_in_use_stays)
{
	struct percpu_cache *cache, *other;
	struct lot lot;
	uint64_t refills;

	enter_mode(_i);
	cache = cache_of(1024);
	other = passer_by();
	lot = lot_of(cache, 100);
	free_lot(&lot);
	refills = stats_of(cache).nr_refills;
	for (int i = 0; i < 100; i++) {
		later(100);
		come_by(other);
		percpu_cache_free(cache, percpu_cache_alloc(cache));
	}
	if (percpu__cache_of(cache)->sections)
		ck_assert_uint_eq(stats_of(cache).nr_refills, refills);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* ---- attributes and options ---- */

START_TEST(kept_bytes_stay)
{
	struct percpu_cache *cache, *other;
	struct lot lot;

	enter_mode(_i);
	cache = cache_that(3 * MIB - 1, 0);
	other = passer_by();
	lot = lot_of(cache, 8 * KIB);
	free_lot(&lot);
	pass_the_time(other, 2 * DECAY);
	ck_assert_uint_eq(held_bytes(cache), 3 * MIB);
	pass_the_time(cache, 2 * DECAY);
	ck_assert_uint_ge(held_bytes(cache), 3 * MIB);
	ck_assert_uint_le(held_bytes(cache), 5 * MIB);
	ck_assert_int_ge(percpu_cache_shrink(cache), 3 * MIB);
	ck_assert_uint_eq(held_bytes(cache), 0);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

START_TEST(decay_is_as_the_cache_says)
{
	struct percpu_cache *slow, *fast, *never, *other;
	struct lot lots[3];

	enter_mode(_i);
	slow = cache_that(0, 60000);
	fast = cache_that(0, 100);
	never = cache_that(0, PERCPU_CACHE_DECAY_NEVER);
	other = passer_by();
	lots[0] = lot_of(slow, KIB);
	lots[1] = lot_of(fast, KIB);
	lots[2] = lot_of(never, KIB);
	for (int i = 0; i < 3; i++)
		free_lot(&lots[i]);
	for (int i = 0; i < 10; i++) {
		later(10);
		come_by(other);
	}
	ck_assert_uint_eq(held_bytes(fast), 0);
	ck_assert_uint_ge(held_bytes(slow), MIB);
	pass_the_time(other, 29000);
	ck_assert_uint_ge(held_bytes(slow), MIB);
	pass_the_time(other, 31000);
	ck_assert_uint_eq(held_bytes(slow), 0);
	pass_the_time(other, 100000);
	ck_assert_uint_ge(held_bytes(never), MIB);
	ck_assert_int_ge(percpu_cache_shrink(never), MIB);
}
END_TEST

/* At once is what the shortest decay means: no clock is needed for it. */
START_TEST(decay_of_a_moment)
{
	struct percpu_cache *cache;
	struct lot lot;

	enter_mode(_i);
	cache = cache_that(0, 1);
	lot = lot_of(cache, 8 * KIB);
	free_lot(&lot);
	ck_assert_uint_le(held_bytes(cache), MIB);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* ---- constructors ---- */

static struct percpu_cache *constructed;
static bool is_armed;

/* Takes its time, and uses its own cache meanwhile, which is allowed. */
static void construct_slowly(void *object)
{
	if (!is_armed)
		return;
	is_armed = false;
	later(DECAY / 3);
	come_by(constructed);
}

/* The time of an allocation is that of its end: a CPU that comes by again within an epoch is not quiet. */
START_TEST(a_slow_constructor_makes_no_cpu_quiet)
{
	const struct percpu_cache_attr attr = { .size = sizeof(attr), .decay_ms = DECAY };
	void *objects[4096], *kept;
	struct lot lot;
	size_t bytes;

	enter_mode(_i);
	constructed = percpu_cache_create_attr("slow", 1024, 0, 0, construct_slowly, &attr);
	ck_assert_ptr_nonnull(constructed);
	lot = lot_of(constructed, 8 * KIB);
	kept = percpu_cache_alloc(constructed); /* its slab has objects that are not constructed */
	free_lot(&lot);
	bytes = held_bytes(constructed);
	is_armed = true;
	for (unsigned i = 0; is_armed && i < 4096; i++)
		objects[i] = percpu_cache_alloc(constructed);
	ck_assert(!is_armed);
	later(DECAY / 5);
	come_by(constructed);
	ck_assert_uint_ge(held_bytes(constructed), bytes);
	ck_assert_ptr_nonnull(objects[0]);
	percpu_cache_free(constructed, kept);
}
END_TEST

START_TEST(options_are_what_caches_do_that_say_nothing)
{
	struct percpu_cache *cache, *other;
	struct lot lot, lot_of_other;

	setenv("PERCPU_OPTIONS", "decay:200,keep:2M", 1);
	pin(0);
	later(1);
	cache = cache_of(1024);
	other = cache_that(MIB, 1000);
	lot = lot_of(cache, 8 * KIB);
	lot_of_other = lot_of(other, 8 * KIB);
	free_lot(&lot);
	free_lot(&lot_of_other);
	pass_the_time(passer_by(), 200);
	ck_assert_uint_eq(held_bytes(cache), 2 * MIB);
	ck_assert_uint_ge(held_bytes(other), 8 * MIB);
	pass_the_time(passer_by(), 1000);
	ck_assert_uint_eq(held_bytes(cache), 2 * MIB);
	ck_assert_uint_eq(held_bytes(other), MIB);
}
END_TEST

START_TEST(attributes_of_other_versions)
{
	struct {
		struct percpu_cache_attr attr;
		char more[16];
	} newer = { .attr = PERCPU_CACHE_ATTR_INIT };
	struct percpu_cache_attr attr = PERCPU_CACHE_ATTR_INIT;
	struct percpu_cache *cache;

	pin(0);
	later(1);
	for (size_t size = 0; size < offsetof(struct percpu_cache_attr, keep_bytes); size++) {
		attr.size = size;
		errno = 0;
		ck_assert_ptr_null(percpu_cache_create_attr("", 64, 0, 0, NULL, &attr));
		ck_assert_int_eq(errno, EINVAL);
	}
	/* Of before there were keep_bytes and decay_ms, which then say nothing. */
	attr.size = offsetof(struct percpu_cache_attr, keep_bytes);
	attr.keep_bytes = 5 * MIB;
	attr.decay_ms = 7;
	cache = percpu_cache_create_attr("", 64, 0, 0, NULL, &attr);
	ck_assert_ptr_nonnull(cache);
	ck_assert_uint_eq(percpu__cache_of(cache)->kept_slabs, 0);
	ck_assert_uint_eq(percpu__cache_of(cache)->epoch_ms, DECAY / 2);
	newer.attr.size = sizeof(newer);
	ck_assert_ptr_nonnull(percpu_cache_create_attr("", 64, 0, 0, NULL, &newer.attr));
	newer.more[15] = 1;
	errno = 0;
	ck_assert_ptr_null(percpu_cache_create_attr("", 64, 0, 0, NULL, &newer.attr));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* ---- nodes ---- */

/* Addresses go back to the node that they were placed on, whatever is known of nodes by then. */
START_TEST(a_slab_remembers_its_node)
{
	struct percpu__slab *slab, *of_node;

	pin(0);
	ck_assert(percpu__arena_init());
	slab = percpu__arena_take(0, -1);
	of_node = percpu__arena_take(0, 0);
	ck_assert(slab && of_node);
	slab->order = of_node->order = 0;
	slab->next = of_node;
	of_node->next = NULL;
	percpu__arena_trim(slab);
	ck_assert_ptr_eq(percpu__arena_take(0, -1), slab);
	ck_assert_ptr_eq(percpu__arena_take(0, 0), of_node);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("age");
	TCase *tcase = case_of("age");
	const TTest *const in_all_modes[] = {
		a_swing_faults_once, a_large_swing_among_small_ones, idle_memory_goes_back_in_the_time_stated,
		the_first_after_a_pause_finds_all, no_operation_gives_back_much, slabs_go_back_in_runs, a_cache_gone_quiet,
		a_list_in_use_stays, kept_bytes_stay, decay_is_as_the_cache_says, decay_of_a_moment,
		a_slow_constructor_makes_no_cpu_quiet,
	};
	const TTest *const of_two_cpus[] = { a_cpu_gone_quiet, remote_frees_to_a_quiet_cpu };

	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, options_are_what_caches_do_that_say_nothing);
	tcase_add_test(tcase, attributes_of_other_versions);
	tcase_add_test(tcase, a_slab_remembers_its_node);
	for (size_t i = 0; i < sizeof(in_all_modes) / sizeof(in_all_modes[0]); i++)
		tcase_add_loop_test(tcase, in_all_modes[i], 0, NR_MODES);
	for (size_t i = 0; i < sizeof(of_two_cpus) / sizeof(of_two_cpus[0]); i++)
		tcase_add_loop_test(tcase, of_two_cpus[i], 0, NR_MODES);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
