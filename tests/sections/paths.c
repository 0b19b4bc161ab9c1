/* SPDX-License-Identifier: MIT */
/*
 * The library's own critical sections: alloc and free of per-CPU memory, with few copies and with
 * many, and of cache objects. Each scenario allocates and frees so much that it reaches all of
 * them.
 *
 * A hand marks the items that it holds. So an item that is allocated twice is detected at its
 * allocation, and a lost item is missing from the library's statistics, or from the items that all
 * magazines return in the end.
 *
 * Statistics are not items. A competitor that only reads them detects errors: on a CPU that the
 * thread has left nothing is counted; and while the thread stays, as much as without any stop.
 */
#include "sections/scenario.h"

#include <stdlib.h>
#include <string.h>

#include "cache/cpu_cache.h"

#define MAX_HELD 512

/* The items of one thread. The competitor may be late, so that its items are judged at the end. */
struct hand {
	unsigned nr;
	void *items[MAX_HELD];
};

struct path {
	void *(*take)(void);
	void (*release)(void *item);
	bool (*is_marked)(void *item);
	void (*mark)(void *item, bool held);
	size_t (*nr_live)(void);
	void (*churn)(void);
	void (*settle)(void); /* makes the same magazines before each run */
	void (*compete)(unsigned cpu);
};

static struct hand mine, theirs;
static struct hand lent[2]; /* to the competitor: items owned by the first CPU, and by the second */
static size_t nr_others; /* live before the scenario began */
static const char *wrong;
static const struct path *path;

static void take_into(struct hand *hand, void *(*take)(void))
{
	void *item = take();

	if (!item || hand->nr == MAX_HELD) {
		wrong = "no memory";
		return;
	}
	if (path->is_marked(item))
		wrong = "given to two";
	path->mark(item, true);
	hand->items[hand->nr++] = item;
}

static void release_at(struct hand *hand, unsigned at, void (*release)(void *))
{
	void *item;

	if (at >= hand->nr)
		return;
	item = hand->items[at];
	hand->items[at] = hand->items[--hand->nr];
	if (!path->is_marked(item))
		wrong = "taken by another while it was held";
	path->mark(item, false);
	release(item);
}

static void take_some(struct hand *hand, unsigned nr, void *(*take)(void))
{
	while (nr--)
		take_into(hand, take);
}

/* The oldest first. */
static void release_some(struct hand *hand, unsigned nr, void (*release)(void *))
{
	while (nr-- && hand->nr)
		release_at(hand, 0, release);
}

/* ---- per-CPU memory ---- */

#define AREA_BYTES 8

static void *take_area(void)
{
	return (void *)percpu_alloc(AREA_BYTES, 8);
}

/* From the pool itself: area caches do not serve such an alignment. */
static void *take_fresh_area(void)
{
	return (void *)percpu_alloc(AREA_BYTES, 16);
}

static void release_area(void *area)
{
	percpu_free(area);
}

/* Fills every copy, so that an allocation that is not zeroed is detected, too. */
static bool is_area_marked(void *area)
{
	uint64_t any = 0;

	percpu_for_each_copy(i)
		any |= *percpu_ptr((uint64_t *)area, i);
	return any;
}

/* Released areas keep their contents: the next allocation zeroes them. */
static void mark_area(void *area, bool held)
{
	percpu_for_each_copy(i)
		if (held)
			*percpu_ptr((uint64_t *)area, i) = ~(uintptr_t)area;
}

static size_t nr_live_areas(void)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	percpu_pool_stats(NULL, &stats);
	return stats.nr_live;
}

static void settle_areas(void)
{
	percpu_trim(NULL);
	release_area(take_area()); /* starts this CPU's area cache */
}

/* Areas from the area cache and from the pool, beyond the cache's limits in both directions. */
static void churn_areas(void)
{
	take_some(&mine, 6, take_fresh_area);
	release_some(&mine, 6, release_area);
	take_some(&mine, 40, take_area);
	release_some(&mine, 30, release_area);
	take_some(&mine, 60, take_area);
	release_some(&mine, 30, release_area);
}

/* ---- objects ---- */

#define OBJECT_BYTES 2048
#define LIST_OBJECTS 128 /* about as many as such a cache keeps on a CPU */

static struct percpu_cache *cache;

static __attribute__((__noinline__)) void *take_object(void)
{
	return percpu_cache_alloc(cache);
}

static void *take_object_slowly(void)
{
	return percpu_cache_alloc_slow(cache);
}

static __attribute__((__noinline__)) void release_object(void *object)
{
	percpu_cache_free(cache, object);
}

static void release_object_slowly(void *object)
{
	percpu_cache_free_slow(cache, object);
}

static void release_object_to_first(void *object)
{
	percpu_cache_free_to(cache, object, first_cpu);
}

static void release_object_to_second(void *object)
{
	percpu_cache_free_to(cache, object, second_cpu);
}

static void *take_object_in_bulk(void)
{
	void *object;

	return percpu_cache_alloc_bulk(cache, 1, &object) ? NULL : object;
}

static void release_object_in_bulk(void *object)
{
	percpu_cache_free_bulk(cache, 1, &object);
}

static uint64_t *mark_of(void *object)
{
	return (uint64_t *)object + OBJECT_BYTES / sizeof(uint64_t) - 1;
}

static bool is_object_marked(void *object)
{
	return *mark_of(object) == ~(uintptr_t)object;
}

static void mark_object(void *object, bool held)
{
	*mark_of(object) = held ? ~(uintptr_t)object : 0;
}

static size_t nr_live_objects(void)
{
	struct percpu_cache_stats stats = { .size = sizeof(stats) };

	percpu_cache_stats(cache, &stats);
	return stats.nr_objects;
}

/* Both CPUs have a magazine, and both threads hold objects of both CPUs. */
static void settle_objects(void)
{
	if (!cache)
		cache = percpu_cache_create("sections", OBJECT_BYTES, 64, 0, NULL);
	percpu_cache_shrink(cache);
	bind_to(second_cpu);
	take_some(&mine, 100, take_object);
	take_some(&lent[1], 8, take_object);
	bind_to(first_cpu);
	take_some(&mine, 20, take_object);
	take_some(&lent[0], 8, take_object);
}

/* Local and remote frees, beyond the magazines' limits in both directions. */
static void churn_once(void)
{
	take_some(&mine, 3, take_object_slowly);
	release_some(&mine, 40, release_object); /* objects of the second CPU */
	release_some(&mine, 10, release_object_slowly);
	release_some(&mine, 2, release_object_to_second);
	release_some(&mine, 2, release_object_to_first);
	take_some(&mine, 2 * LIST_OBJECTS, take_object);
	release_some(&mine, 5, release_object_slowly);
	release_some(&mine, LIST_OBJECTS + 60, release_object);
	release_some(&mine, 5, release_object_to_first);
	release_some(&mine, 5, release_object_slowly);
	take_some(&mine, 10, take_object);
	release_some(&mine, 10, release_object_slowly);
	take_some(&mine, 4, take_object_in_bulk);
	release_some(&mine, 4, release_object_in_bulk);
}

/* After an even number of operations, after an odd one, and after all magazines were stopped. */
static void churn_objects(void)
{
	churn_once();
	take_some(&mine, 1, take_object);
	churn_once();
	release_some(&mine, 80, release_object);
	for (unsigned i = 0; i < 4; i++) {
		percpu_cache_shrink(cache);
		release_some(&mine, 1 + i, release_object);
		take_some(&mine, i, take_object);
	}
}

/* The first remote free on a CPU whose remote batches are stopped. */
static void churn_closed(void)
{
	percpu_cache_shrink(cache);
	release_some(&mine, 4, release_object);
}

/* More than there is memory for: the objects allocated so far are freed. */
static bool has_no_slabs;
struct percpu__slab *__real_percpu__arena_take(unsigned order, int node);
struct percpu__slab *__wrap_percpu__arena_take(unsigned order, int node);

struct percpu__slab *__wrap_percpu__arena_take(unsigned order, int node)
{
	return has_no_slabs ? NULL : __real_percpu__arena_take(order, node);
}

static void churn_in_vain(void)
{
	static void *objects[2000];

	has_no_slabs = true;
	if (!percpu_cache_alloc_bulk(cache, sizeof(objects) / sizeof(objects[0]), objects))
		wrong = "more than there are";
	has_no_slabs = false;
}

/* ---- the statistics of a cache ---- */

#define NR_COUNTS 4

struct counts {
	uint64_t of[NR_COUNTS];
};

/* Counts that only critical sections on that CPU change. */
static struct counts counts_on(unsigned cpu)
{
	const struct percpu__cpu_cache *cpu_cache = percpu_ptr(percpu__cache_of(cache)->cpu_caches, cpu);

	return (struct counts){ { cpu_cache->nr_refills, cpu_cache->nr_remote_frees, cpu_cache->nr_pushes, cpu_cache->magazine.word >> 16 } };
}

/* The sums, as the program reads them. */
static struct counts counts_of_all(void)
{
	struct percpu_cache_stats stats = { .size = sizeof(stats) };

	percpu_cache_stats(cache, &stats);
	return (struct counts){ { stats.nr_refills, stats.nr_remote_frees, stats.nr_batches, stats.nr_hits } };
}

static struct counts begun, undisturbed; /* all counts before a scenario, and what a scenario without a stop adds */
static unsigned nr_looks;
static struct counts left_behind; /* counts on the CPU of the last stop, at that stop */

static struct counts added(void)
{
	struct counts now = counts_of_all();

	for (unsigned i = 0; i < NR_COUNTS; i++)
		now.of[i] -= begun.of[i];
	return now;
}

static const char *judge_counts(const struct moves *moves)
{
	bool stayed = true;
	struct counts now;

	for (unsigned i = 1; i <= moves->nr_stops; i++)
		stayed &= moves->cpu[i] == moves->cpu[i - 1];
	now = added();
	if (stayed)
		return memcmp(&now, &undisturbed, sizeof(now)) ? "not counted, or counted twice" : NULL;
	if (!nr_looks || moves->cpu[moves->nr_stops] == moves->cpu[moves->nr_stops - 1])
		return NULL;
	now = counts_on(moves->cpu[moves->nr_stops - 1]);
	return memcmp(&now, &left_behind, sizeof(now)) ? "counted on a CPU that the thread was no longer on" : NULL;
}

/* ---- competitors ---- */

/* Allocates two and frees the first one: the same head with another node behind it. */
static void compete_to_take(unsigned cpu)
{
	take_some(&theirs, 2, path->take);
	release_at(&theirs, theirs.nr - 2, path->release);
}

/* Frees two that the CPU owns, and allocates one: that works with an empty magazine, too. */
static void compete_to_give(unsigned cpu)
{
	release_some(&lent[cpu == second_cpu], 2, path->release);
	take_some(&theirs, 1, path->take);
}

/* Frees two that the other CPU owns. */
static void compete_to_send(unsigned cpu)
{
	release_some(&lent[cpu == first_cpu], 2, path->release);
}

/* Stops and empties magazines and remote batches, on whichever CPU it runs. */
static void compete_from_afar(unsigned cpu)
{
	percpu_cache_shrink(cache);
}

static void look_only(unsigned cpu)
{
	left_behind = counts_on(cpu);
	nr_looks++;
}

/* ---- the table of scenarios ---- */

static size_t nr_held(void)
{
	return mine.nr + theirs.nr + lent[0].nr + lent[1].nr;
}

static void give_back(struct hand *hand)
{
	while (hand->nr)
		release_at(hand, hand->nr - 1, path->release);
}

static void give_back_all(void)
{
	give_back(&mine);
	give_back(&theirs);
	give_back(&lent[0]);
	give_back(&lent[1]);
}

static void prepare(const struct scenario *self)
{
	wrong = NULL;
	path = self->detail;
	nr_looks = 0;
	mine.nr = theirs.nr = lent[0].nr = lent[1].nr = 0;
	path->settle();
	if (path->compete == look_only) {
		begun = counts_of_all();
		path->churn();
		undisturbed = added();
		give_back_all();
		path->settle();
		begun = counts_of_all();
	}
	nr_others = path->nr_live() - nr_held();
}

static void run(const struct scenario *self)
{
	path->churn();
}

static void compete(const struct scenario *self, unsigned cpu)
{
	path->compete(cpu);
}

/* The magazines of both CPUs hand out each item once, and every item comes back. */
static const char *verdict(const struct scenario *self, const struct moves *moves)
{
	const unsigned cpus[] = { first_cpu, second_cpu };

	if (!wrong && path->compete == look_only)
		wrong = judge_counts(moves);
	if (!wrong && path->nr_live() != nr_others + nr_held())
		wrong = "lost, or counted twice";
	for (unsigned i = 0; i < 2 && !wrong; i++) {
		bind_to(cpus[i]);
		take_some(&mine, 60, path->take);
	}
	give_back_all();
	if (!wrong && path->nr_live() != nr_others)
		wrong = "lost, or counted twice, in the end";
	return wrong;
}

#define AREAS(compete)                                                                                       \
	{ take_area, release_area, is_area_marked, mark_area, nr_live_areas, churn_areas, settle_areas, compete }
#define OBJECTS(churn, compete)                                                                              \
	{ take_object, release_object, is_object_marked, mark_object, nr_live_objects, churn, settle_objects, compete }
#define SCENARIO(text, how, options, ...)                                                                    \
	{ text, how, options, prepare, run, compete, verdict, &(const struct path)__VA_ARGS__ },
#define OF_CACHES "percpu_cache_alloc, percpu_cache_free"

static const struct scenario scenarios[] = {
	SCENARIO("percpu_alloc, percpu_free", "few copies", "", AREAS(compete_to_take))
	SCENARIO("percpu_alloc, percpu_free", "many copies", "cpus:64", AREAS(compete_to_take))
	SCENARIO(OF_CACHES, "taken from", "", OBJECTS(churn_objects, compete_to_take))
	SCENARIO(OF_CACHES, "given to", "", OBJECTS(churn_objects, compete_to_give))
	SCENARIO(OF_CACHES, "sent from", "", OBJECTS(churn_objects, compete_to_send))
	SCENARIO(OF_CACHES, "sent from, closed", "", OBJECTS(churn_closed, compete_to_send))
	SCENARIO(OF_CACHES, "given to, in vain", "", OBJECTS(churn_in_vain, compete_to_give))
	SCENARIO(OF_CACHES, "shrunk", "", OBJECTS(churn_objects, compete_from_afar))
	SCENARIO(OF_CACHES, "looked at", "", OBJECTS(churn_objects, look_only))
};

size_t paths_scenarios(const struct scenario **list)
{
	*list = scenarios;
	return sizeof(scenarios) / sizeof(scenarios[0]);
}
