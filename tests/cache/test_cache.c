/* SPDX-License-Identifier: MIT */
/* Caches as a single caller sees them, in every mode, and the way of remote frees. */
#include "cache/cpu_cache.h"
#include "cache/world.h"
#include "harness/filter.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const char *const modes[] = { "", "mode:atomic", "check", "cpus:512", "cpus:1" };
#define NR_MODES ((int)(sizeof(modes) / sizeof(modes[0])))
#define NR_MODES_OF_CPUS (NR_MODES - 1) /* in which a second CPU has a copy */

/* Check forks for each test, before the library starts. */
static void enter_mode(int i)
{
	setenv("PERCPU_OPTIONS", modes[i], 1);
	pin(0);
}

static bool in_rseq_mode(void)
{
	return percpu_mode() == PERCPU_MODE_RSEQ;
}

static int compare(const void *a, const void *b)
{
	const uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return (x > y) - (x < y);
}

/* All objects are apart by at least size, aligned, writable over all of it, and stay as they are. */
static void check_geometry(size_t size, size_t align, unsigned flags)
{
	struct percpu_cache *cache = percpu_cache_create("geometry", size, align, flags, NULL);
	const size_t nr = size > 4096 ? 40 : 1500, want = flags & PERCPU_CACHE_LINE_ALIGN && align < 64 ? 64 : align ? align : 8;
	struct percpu_cache_stats stats;
	struct lot lot;

	ck_assert_ptr_nonnull(cache);
	lot = lot_of(cache, nr);
	for (size_t i = 0; i < nr; i++) {
		ck_assert_uint_eq((uintptr_t)lot.objects[i] % want, 0);
		for (size_t at = 0; flags & PERCPU_CACHE_ZERO && at < size; at++)
			ck_assert_int_eq(((char *)lot.objects[i])[at], 0);
		memset(lot.objects[i], (int)i, size);
	}
	for (size_t i = 0; i < nr; i++)
		for (size_t at = 0; at < size; at += size > 64 ? 61 : 1)
			ck_assert_int_eq(((unsigned char *)lot.objects[i])[at], (unsigned char)i);
	qsort(lot.objects, nr, sizeof(void *), compare);
	for (size_t i = 1; i < nr; i++)
		ck_assert_uint_ge((uintptr_t)lot.objects[i], (uintptr_t)lot.objects[i - 1] + size);
	stats = stats_of(cache);
	ck_assert_uint_eq(stats.nr_objects, nr);
	ck_assert_uint_ge(stats.slab_bytes, 65536);
	ck_assert_uint_eq(stats.slab_bytes & (stats.slab_bytes - 1), 0);
	ck_assert(stats.slab_bytes >= 8 * stats.object_bytes || stats.slab_bytes == PERCPU__SLAB_MAX);
	free_lot(&lot);
	ck_assert_uint_eq(stats_of(cache).nr_objects, 0);
	if (flags & PERCPU_CACHE_ZERO) {
		alloc_lot(&lot);
		for (size_t i = 0; i < nr; i++)
			for (size_t at = 0; at < size; at++)
				ck_assert_int_eq(((char *)lot.objects[i])[at], 0);
		free_lot(&lot);
	}
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
	free(lot.objects);
}

START_TEST(sizes)
{
	static const size_t all[] = { 8, 9, 16, 24, 64, 72, 100, 512, 1500, 4096, 5000, 7500, 8192, 8193, 20000, 40000, 65535, 65536 };

	enter_mode(_i);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		check_geometry(all[i], 0, 0);
}
END_TEST

START_TEST(alignments)
{
	enter_mode(_i);
	for (size_t align = 1; align <= 4096; align *= 2) {
		check_geometry(8, align, 0);
		check_geometry(1000, align, 0);
		check_geometry(65536, align, 0);
	}
	check_geometry(8, 0, PERCPU_CACHE_LINE_ALIGN);
	check_geometry(65, 8, PERCPU_CACHE_LINE_ALIGN);
	check_geometry(200, 0, PERCPU_CACHE_ZERO);
	check_geometry(8, 0, PERCPU_CACHE_ZERO | PERCPU_CACHE_LINE_ALIGN);
}
END_TEST

static void ctor_nothing(void *object)
{
}

START_TEST(bad_requests)
{
	const struct percpu_cache_attr attr = { .size = sizeof(attr) };
	static const struct {
		size_t size, align;
		unsigned flags;
		void (*ctor)(void *);
	} bad[] = {
		{ 0, 0, 0, NULL }, { 7, 0, 0, NULL }, { 65537, 0, 0, NULL }, { 64, 3, 0, NULL }, { 64, 8192, 0, NULL },
		{ 64, 0, 8, NULL }, { 64, 0, PERCPU_CACHE_ZERO, ctor_nothing }, { 64, 0, PERCPU_CACHE_TYPESAFE_BY_RCU, NULL },
	};
	struct percpu_cache *cache = cache_of(64);
	struct percpu_cache_stats tiny = { .size = 8 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		errno = 0;
		ck_assert_ptr_null(percpu_cache_create("bad", bad[i].size, bad[i].align, bad[i].flags, bad[i].ctor));
		ck_assert_int_eq(errno, EINVAL);
	}
	ck_assert_ptr_null(percpu_cache_create_attr("bad", 64, 0, PERCPU_CACHE_TYPESAFE_BY_RCU, NULL, &attr));
	ck_assert_int_eq(percpu_cache_stats(cache, NULL), -EINVAL);
	ck_assert_int_eq(percpu_cache_stats(cache, &tiny), -EINVAL);
	errno = 12345;
	percpu_cache_free(cache, NULL);
	percpu_cache_free_to(cache, NULL, 0);
	ck_assert_int_eq(errno, 12345);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

START_TEST(last_freed_first)
{
	struct percpu_cache *cache;
	struct lot lot;

	enter_mode(_i);
	cache = cache_of(64);
	lot = lot_of(cache, 100);
	for (size_t i = 0; i < lot.nr; i++)
		percpu_cache_free(cache, lot.objects[i]);
	for (size_t i = lot.nr; i--;)
		ck_assert_ptr_eq(percpu_cache_alloc(cache), lot.objects[i]);
	free_lot(&lot);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* ---- what a pair writes ---- */

#define NR_LISTED 20

/* The pages that bytes lie in. */
static void protect(const void *start, size_t bytes, int rights)
{
	const uintptr_t page = sysconf(_SC_PAGESIZE), first = (uintptr_t)start & -page;

	ck_assert_int_eq(mprotect((void *)first, (uintptr_t)start + bytes - first, rights), 0);
}

/* One object out, another one in, while a touch of either, or a store to what all CPUs read, is a fault. */
static void *exchange_untouched(struct percpu_cache *cache, const void *first, void *back)
{
	const size_t at = (uintptr_t)back >> 10 & cache->mask;
	const struct percpu__slab_id *slab = (const void *)((const char *)cache->slabs + at);
	void *object;

	protect(first, cache->size, PROT_NONE);
	protect(back, cache->size, PROT_NONE);
	protect(slab, sizeof(*slab), PROT_READ);
	protect(cache, sizeof(struct percpu__cache), PROT_READ);
	object = percpu_cache_alloc(cache);
	percpu_cache_free(cache, back);
	protect(cache, sizeof(struct percpu__cache), PROT_READ | PROT_WRITE);
	protect(slab, sizeof(*slab), PROT_READ | PROT_WRITE);
	protect(back, cache->size, PROT_READ | PROT_WRITE);
	protect(first, cache->size, PROT_READ | PROT_WRITE);
	return object;
}

static unsigned nr_lines_changed(const char *before, const char *after, size_t bytes)
{
	unsigned nr = 0;

	for (size_t at = 0; at < bytes; at += PERCPU__LINE_BYTES)
		nr += !!memcmp(before + at, after + at, bytes - at < PERCPU__LINE_BYTES ? bytes - at : PERCPU__LINE_BYTES);
	return nr;
}

START_TEST(a_pair_writes_two_lines_at_most)
{
	struct percpu_cache *cache;
	struct percpu__cpu_cache *cpu_cache;
	struct lot lot;
	char *before;
	size_t bytes;

	enter_mode(0);
	if (!in_rseq_mode())
		SKIP("no rseq here");
	cache = cache_of(64);
	lot = lot_of(cache, NR_LISTED + 1);
	bytes = percpu__cpu_cache_bytes(percpu__cache_of(cache)->nr_batches);
	cpu_cache = percpu_ptr(percpu__cache_of(cache)->cpu_caches, percpu_this_cpu());
	before = malloc(bytes);
	ck_assert_int_ge(percpu_cache_shrink(cache), 0); /* refilled objects return to their slab */
	for (size_t nr = 1; nr <= NR_LISTED; nr++) {
		void *first = lot.objects[nr], *object;

		percpu_cache_free(cache, first);
		ck_assert_uint_eq(cpu_cache->magazine.word % 65536, nr);
		memcpy(before, cpu_cache, bytes);
		object = exchange_untouched(cache, first, lot.objects[0]);
		ck_assert_ptr_eq(object, first);
		ck_assert_uint_eq(nr_lines_changed(before, (char *)cpu_cache, bytes), nr <= 6 ? 1 : 2);
		lot.objects[0] = object;
	}
	percpu_cache_free(cache, lot.objects[0]);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
	free(before);
}
END_TEST

static unsigned nr_constructed;

static void construct(void *object)
{
	memset(object, 0x11, 40);
	nr_constructed++;
}

START_TEST(constructors)
{
	struct percpu_cache *cache;
	struct lot lot;
	unsigned before;

	enter_mode(_i);
	cache = percpu_cache_create("constructed", 40, 0, 0, construct);
	ck_assert_ptr_nonnull(cache);
	for (int round = 0; round < 10; round++) {
		lot = lot_of(cache, 500);
		for (size_t i = 0; i < lot.nr; i++)
			for (int at = 0; at < 40; at++)
				ck_assert_int_eq(((char *)lot.objects[i])[at], 0x11);
		free_lot(&lot);
		free(lot.objects);
	}
	before = nr_constructed;
	ck_assert_uint_ge(before, 500);
	ck_assert_uint_le(before, 500 + 512); /* each once, and the refilled ones */
	/* Back in their slab, which one object keeps, they stay as they are. */
	lot = lot_of(cache, 500);
	before = nr_constructed;
	percpu_cache_free_bulk(cache, 499, lot.objects + 1);
	ck_assert_int_eq(percpu_cache_shrink(cache), 0);
	ck_assert_int_eq(percpu_cache_alloc_bulk(cache, 499, lot.objects + 1), 0);
	ck_assert_uint_le(nr_constructed, before + 128); /* and some more by refills */
	free_lot(&lot);
	free(lot.objects);
	ck_assert_int_gt(percpu_cache_shrink(cache), 0);
	lot = lot_of(cache, 500);
	ck_assert_uint_ge(nr_constructed, before + 500); /* the slab is new */
	free_lot(&lot);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

START_TEST(counts)
{
	struct percpu_cache *cache;
	struct percpu_cache_stats stats;
	struct lot lot;

	enter_mode(_i);
	cache = cache_of(64);
	lot = lot_of(cache, 3000);
	stats = stats_of(cache);
	ck_assert_uint_eq(stats.nr_objects, 3000);
	ck_assert_uint_eq(stats.nr_hits + stats.nr_refills, 3000);
	ck_assert_uint_eq(stats.nr_slabs, (3000 + 65536 / stats.object_bytes - 1) / (65536 / stats.object_bytes));
	ck_assert_uint_eq(stats.slabs_bytes, stats.nr_slabs * 65536);
	ck_assert_uint_eq(stats.node_bytes[0], stats.slabs_bytes);
	free_lot(&lot);
	for (int i = 0; i < 1000; i++)
		percpu_cache_free(cache, percpu_cache_alloc(cache));
	stats = stats_of(cache);
	ck_assert_uint_eq(stats.nr_objects, 0);
	ck_assert_uint_eq(stats.nr_hits + stats.nr_refills, 4000);
	if (in_rseq_mode() && !strstr(modes[_i], "check"))
		ck_assert_uint_ge(stats.nr_hits, 3900);
	else
		ck_assert_uint_eq(stats.nr_hits, 0);
	ck_assert_int_ge(percpu_cache_shrink(cache), 65536);
	stats = stats_of(cache);
	ck_assert_uint_eq(stats.nr_slabs + stats.nr_free + stats.slabs_bytes, 0);
	ck_assert_uint_eq(stats.nr_hits + stats.nr_refills, 4000);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

START_TEST(destroy_busy)
{
	struct percpu_cache *cache;
	struct lot lot;

	enter_mode(_i);
	cache = cache_of(64);
	lot = lot_of(cache, 200);
	percpu_cache_free(cache, lot.objects[--lot.nr]);
	ck_assert_int_eq(percpu_cache_destroy(cache), -EBUSY);
	memset(lot.objects[0], 1, 64);
	free_lot(&lot);
	alloc_lot(&lot);
	free_lot(&lot);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* A cache whose memory ages at once, so that tests need not wait. */
static struct percpu_cache *hasty_cache(size_t size)
{
	const struct percpu_cache_attr attr = { .size = sizeof(attr), .decay_ms = 1 };
	struct percpu_cache *cache = percpu_cache_create_attr("hasty", size, 0, 0, NULL, &attr);

	ck_assert_ptr_nonnull(cache);
	return cache;
}

START_TEST(empty_slabs_are_bounded)
{
	struct percpu_cache *cache;
	struct lot lot;

	enter_mode(_i);
	cache = hasty_cache(512);
	lot = lot_of(cache, 128 * 64);
	free_lot(&lot);
	ck_assert_uint_eq(stats_of(cache).nr_objects, 0);
	/* Of 64 slabs: the magazine keeps 127 KiB and the depot 256, six slabs or parts of seven. */
	ck_assert_uint_le(stats_of(cache).nr_slabs, 8);
	ck_assert_uint_ge(stats_of(cache).nr_returned_slabs, 54);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* Kilobytes that /proc/self/status says, pages and page tables. */
static long process_kb(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	long sum = 0;

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, "VmRSS:", 6) || !strncmp(line, "VmPTE:", 6))
			sum += atol(line + 6);
	fclose(file);
	return sum;
}

START_TEST(unused_caches_cost_little)
{
	static struct percpu_cache *caches[4000];
	long before;

	enter_mode(NR_MODES - 1); /* 512 CPUs */
	caches[0] = cache_of(64);
	process_kb();
	before = process_kb();
	for (int i = 1; i < 4000; i++)
		caches[i] = percpu_cache_create("unused", 64, 0, 0, NULL);
	ck_assert_ptr_nonnull(caches[3999]);
	for (int i = 1; i < 4000; i++)
		ck_assert_uint_eq(stats_of(caches[i]).nr_refills, 0);
	ck_assert_int_le((process_kb() - before) * 1024 / 3999, 1024);
}
END_TEST

/* ---- another CPU ---- */

/* As many objects as its slabs hold. */
static struct lot all_of(struct percpu_cache *cache)
{
	const struct percpu_cache_stats stats = stats_of(cache);

	return lot_of(cache, stats.nr_slabs * (stats.slab_bytes / stats.object_bytes) - stats.nr_objects);
}

START_TEST(remote_frees_return_to_the_owner)
{
	struct percpu_cache *cache;
	struct lot lot, again;
	struct percpu_cache_stats stats;

	SKIP_IF(nth_cpu(1) < 0 ? "one CPU alone" : NULL);
	enter_mode(_i);
	cache = cache_of(64);
	lot = lot_of(cache, 1024);
	stats = stats_of(cache);
	on_cpu(1, free_lot, &lot);
	ck_assert_uint_eq(stats_of(cache).nr_remote_frees + 31 >= 1024, 1);
	if (stats_of(cache).batch_max > 1)
		ck_assert_uint_le(stats_of(cache).nr_batches, 1024 / stats_of(cache).batch_max);
	else
		ck_assert_uint_eq(stats_of(cache).nr_batches, 1024);
	/* All of them, also those in a batch of a CPU that is idle now, come before a new slab. */
	again = all_of(cache);
	ck_assert_uint_eq(stats_of(cache).nr_slabs, stats.nr_slabs);
	for (size_t i = 0; i < lot.nr; i++)
		ck_assert(has(&again, lot.objects[i]));
	free_lot(&again);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

START_TEST(elsewhere_memory_does_not_wander)
{
	struct percpu_cache *cache;
	struct lot lot, other;

	SKIP_IF(nth_cpu(1) < 0 ? "one CPU alone" : NULL);
	enter_mode(_i);
	cache = cache_of(64);
	lot = lot_of(cache, 500);
	on_cpu(1, free_lot, &lot);
	other = (struct lot){ cache, 500, calloc(500, sizeof(void *)), 0 };
	on_cpu(1, alloc_lot, &other);
	for (size_t i = 0; i < lot.nr; i++)
		ck_assert(!has(&other, lot.objects[i]));
	on_cpu(1, free_lot, &other);
	ck_assert_uint_eq(stats_of(cache).nr_homes, 2);
	ck_assert_int_eq(percpu_cache_shrink(cache), 2 * 65536);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

START_TEST(shrink_reaches_idle_cpus)
{
	struct percpu_cache *cache;
	struct lot lot, other;

	SKIP_IF(nth_cpu(1) < 0 ? "one CPU alone" : NULL);
	enter_mode(_i);
	cache = cache_of(64);
	other = (struct lot){ cache, 20, calloc(20, sizeof(void *)), 0 };
	lot = lot_of(cache, 20);
	on_cpu(1, alloc_lot, &other);
	on_cpu(1, free_lot, &lot); /* a batch there */
	free_lot(&other);          /* and one here */
	ck_assert_int_eq(percpu_cache_shrink(cache), 2 * 65536);
	ck_assert_uint_eq(stats_of(cache).nr_slabs, 0);
	/* Stopped magazines start again. */
	lot = lot_of(cache, 20);
	on_cpu(1, free_lot, &lot);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

static void free_lot_to(void *arg)
{
	struct lot *lot = arg;

	for (size_t i = 0; i < lot->nr; i++)
		percpu_cache_free_to(lot->cache, lot->objects[i], lot->to);
}

/* A CPU that only allocates takes a long remote free list at once, and keeps little of it. */
START_TEST(a_long_remote_free_list_is_bounded)
{
	struct percpu_cache *cache;
	struct lot lot;

	SKIP_IF(nth_cpu(1) < 0 ? "one CPU alone" : NULL);
	enter_mode(_i);
	cache = hasty_cache(512);
	lot = lot_of(cache, 128 * 64);
	on_cpu(1, free_lot, &lot);
	lot.nr = 128 * 16;
	alloc_lot(&lot);
	ck_assert_uint_eq(stats_of(cache).nr_objects, lot.nr);
	/* The magazine keeps up to 256 KiB, the depot twice that; an eighth of the slabs may be empty. */
	ck_assert_uint_le(stats_of(cache).nr_slabs, 16 + 4 + 8 + 8);
	ck_assert_uint_gt(stats_of(cache).nr_returned_slabs, 20);
	free_lot(&lot);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

START_TEST(free_to_a_cpu)
{
	struct percpu_cache *cache;
	struct lot lot, other;

	SKIP_IF(nth_cpu(1) < 0 ? "one CPU alone" : NULL);
	enter_mode(_i);
	cache = cache_of(64);
	lot = lot_of(cache, 50);
	lot.to = nth_cpu(1);
	free_lot_to(&lot); /* from its owner to another CPU */
	other = (struct lot){ cache, 50, calloc(50, sizeof(void *)), nth_cpu(1) };
	on_cpu(1, alloc_lot, &other);
	for (size_t i = 0; i < lot.nr; i++)
		ck_assert(has(&other, lot.objects[i]));
	on_cpu(1, free_lot_to, &other); /* on that CPU, to itself */
	on_cpu(1, alloc_lot, &other);
	for (size_t i = 0; i < lot.nr; i++)
		ck_assert(has(&other, lot.objects[i]));
	on_cpu(1, free_lot, &other); /* and back to its owner */
	other = all_of(cache);
	for (size_t i = 0; i < lot.nr; i++)
		ck_assert(has(&other, lot.objects[i]));
	free_lot(&other);
	ck_assert_int_eq(percpu_cache_shrink(cache), 65536);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* ---- without membarrier ---- */

START_TEST(one_by_one_without_membarrier)
{
	struct percpu_cache *cache;
	struct lot lot, again;

	SKIP_IF(nth_cpu(1) < 0 ? "one CPU alone" : NULL);
	enter_mode(0);
	ck_assert(filter_refuse(SYS_membarrier, EPERM));
	cache = cache_of(64);
	ck_assert_uint_eq(stats_of(cache).batch_max, 1);
	lot = lot_of(cache, 1000);
	on_cpu(1, free_lot, &lot);
	ck_assert_uint_eq(stats_of(cache).nr_remote_frees, 1000);
	ck_assert_uint_eq(stats_of(cache).nr_batches, 1000);
	again = all_of(cache);
	for (size_t i = 0; i < lot.nr; i++)
		ck_assert(has(&again, lot.objects[i]));
	ck_assert_uint_eq(stats_of(cache).nr_slabs, 1);
	on_cpu(1, free_lot, &again);
	ck_assert_int_eq(percpu_cache_shrink(cache), 65536); /* no list holds any */
	lot = lot_of(cache, 10);
	free_lot(&lot);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* A filter that comes when there are batches already: nothing is lost. */
START_TEST(membarrier_is_refused_later)
{
	struct percpu_cache *cache;
	struct lot lot;

	SKIP_IF(nth_cpu(1) < 0 ? "one CPU alone" : NULL);
	enter_mode(0);
	cache = cache_of(64);
	lot = lot_of(cache, 100);
	on_cpu(1, free_lot, &lot);
	ck_assert(filter_refuse(SYS_membarrier, EPERM));
	percpu_cache_shrink(cache);
	alloc_lot(&lot);
	on_cpu(1, free_lot, &lot);
	ck_assert_uint_eq(stats_of(cache).nr_objects, 0);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

/* ---- fork ---- */

static struct percpu_cache *used_by_handlers;

static void use_cache(void)
{
	percpu_cache_free(used_by_handlers, percpu_cache_alloc(used_by_handlers));
}

/* Registered before there was a cache, they run while the library's locks are free all the same. */
START_TEST(handlers_of_the_program_may_use_a_cache)
{
	int status;
	pid_t child;

	enter_mode(_i);
	ck_assert(!pthread_atfork(use_cache, use_cache, use_cache));
	used_by_handlers = cache_of(64);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (!child)
		_exit(0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(forks)
{
	struct percpu_cache *cache;
	struct lot lot, more;
	int status;
	pid_t child;

	enter_mode(_i);
	cache = cache_of(64);
	lot = lot_of(cache, 100);
	more = lot_of(cache, 100);
	free_lot(&more);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (!child) {
		if (stats_of(cache).nr_objects != 100)
			_exit(1);
		free_lot(&lot);
		alloc_lot(&more);
		free_lot(&more);
		_exit(percpu_cache_destroy(cache) ? 2 : 0);
	}
	alloc_lot(&more);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(stats_of(cache).nr_objects, 200);
	free_lot(&more);
	free_lot(&lot);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cache");
	TCase *tcase = case_of("cache");
	const TTest *const in_all_modes[] = {
		sizes, alignments, last_freed_first, constructors, counts, destroy_busy, empty_slabs_are_bounded,
		handlers_of_the_program_may_use_a_cache, forks,
	};
	const TTest *const of_two_cpus[] = {
		remote_frees_return_to_the_owner, elsewhere_memory_does_not_wander, shrink_reaches_idle_cpus, a_long_remote_free_list_is_bounded,
		free_to_a_cpu,
	};

	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, bad_requests);
	tcase_add_test(tcase, unused_caches_cost_little);
	tcase_add_test(tcase, a_pair_writes_two_lines_at_most);
	tcase_add_test(tcase, one_by_one_without_membarrier);
	tcase_add_test(tcase, membarrier_is_refused_later);
	for (size_t i = 0; i < sizeof(in_all_modes) / sizeof(in_all_modes[0]); i++)
		tcase_add_loop_test(tcase, in_all_modes[i], 0, NR_MODES);
	for (size_t i = 0; i < sizeof(of_two_cpus) / sizeof(of_two_cpus[0]); i++)
		tcase_add_loop_test(tcase, of_two_cpus[i], 0, NR_MODES_OF_CPUS);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
