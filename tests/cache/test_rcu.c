/* SPDX-License-Identifier: MIT */
/*
 * Type stability: inside a read-side section a pointer to a freed object leads to an object of the cache, used
 * anew perhaps, never to memory that went back. Each test is also run with a flavour whose grace periods
 * are over at once, and must then find what it looks for.
 */
#include "cache/world.h"

#include <sys/wait.h>
#include <urcu.h>
#include <urcu/call-rcu.h>

#define MAGIC UINT64_C(0x6f626a6563743a29)

struct object {
	uint64_t magic; /* the constructor's, for as long as the memory is of this type */
	uint64_t key;
	char rest[496];
};

static struct percpu_cache *cache, *other;
static struct rcu_flavor_struct no_grace;

static void no_wait(void)
{
}

static void call_at_once(struct rcu_head *head, void (*function)(struct rcu_head *head))
{
	function(head);
}

static void construct(void *object)
{
	((struct object *)object)->magic = MAGIC;
}

static void start(bool broken)
{
	struct percpu_cache_attr attr = { .size = sizeof(attr), .flavor = &rcu_flavor, .decay_ms = 1 };

	pin(0);
	rcu_register_thread();
	no_grace = rcu_flavor;
	no_grace.update_synchronize_rcu = no_wait;
	no_grace.update_call_rcu = call_at_once;
	if (broken)
		attr.flavor = &no_grace;
	cache = percpu_cache_create_attr("typesafe", sizeof(struct object), 0, PERCPU_CACHE_TYPESAFE_BY_RCU, construct,
					 &attr);
	other = cache_of(sizeof(struct object));
	ck_assert_ptr_nonnull(cache);
}

static void stop(void)
{
	rcu_barrier();
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
	ck_assert_int_eq(percpu_cache_destroy(other), 0);
	rcu_unregister_thread();
}

static bool is_intact(const struct object *object)
{
	return __atomic_load_n(&object->magic, __ATOMIC_RELAXED) == MAGIC;
}

/* ---- one reader, step by step ---- */

static bool shrunk;
static ssize_t shrunk_bytes;

static void *shrink(void *arg)
{
	pin(0);
	rcu_register_thread();
	shrunk_bytes = percpu_cache_shrink(cache);
	__atomic_store_n(&shrunk, true, __ATOMIC_RELEASE); /* pairs with memory_goes_under_the_reader */
	rcu_unregister_thread();
	return NULL;
}

/* Returns: whether memory went back under the reader. */
static bool memory_goes_under_the_reader(bool broken)
{
	pthread_t thread;
	struct lot lot;
	bool gone = false;

	start(broken);
	lot = lot_of(cache, 100);
	rcu_read_lock();
	free_lot(&lot);
	ck_assert(!pthread_create(&thread, NULL, shrink, NULL));
	for (int i = 0; (broken || i < 100) && !__atomic_load_n(&shrunk, __ATOMIC_ACQUIRE); i++)
		usleep(2000);
	for (size_t i = 0; i < lot.nr; i++)
		gone |= !is_intact(lot.objects[i]);
	ck_assert_int_eq(__atomic_load_n(&shrunk, __ATOMIC_ACQUIRE), broken);
	rcu_read_unlock();
	pthread_join(thread, NULL);
	ck_assert_int_eq(shrunk_bytes, 65536);
	ck_assert(!is_intact(lot.objects[0])); /* now it may, and did */
	stop();
	return gone;
}

START_TEST(shrink_waits)
{
	ck_assert(!memory_goes_under_the_reader(false));
}
END_TEST

START_TEST(shrink_without_grace_is_seen)
{
	ck_assert(memory_goes_under_the_reader(true));
}
END_TEST

/* The slabs that a free gives back, because there is nothing in them. */
static bool free_gives_back_under_the_reader(bool broken)
{
	struct lot lot;
	bool gone = false;

	start(broken);
	lot = lot_of(cache, 60 * 126);
	rcu_read_lock();
	free_lot(&lot);
	for (size_t i = 0; i < lot.nr; i++)
		gone |= !is_intact(lot.objects[i]);
	ck_assert(broken || stats_of(cache).nr_returned_slabs == 0);
	rcu_read_unlock();
	rcu_barrier();
	ck_assert_uint_gt(stats_of(cache).nr_returned_slabs, 30);
	stop();
	return gone;
}

START_TEST(free_waits)
{
	ck_assert(!free_gives_back_under_the_reader(false));
}
END_TEST

START_TEST(free_without_grace_is_seen)
{
	ck_assert(free_gives_back_under_the_reader(true));
}
END_TEST

/* ---- who need not know the flavour ---- */

static unsigned nr_calls;

static void count_call(struct rcu_head *head, void (*function)(struct rcu_head *head))
{
	nr_calls++;
	function(head);
}

/*
 * Only who frees calls the flavour: neither who allocates, though a destroy that was refused left slabs without an object
 * in use, nor who uses another cache.
 */
START_TEST(who_allocates_calls_nothing)
{
	struct lot lot, more;

	start(true);
	no_grace.update_call_rcu = count_call;
	lot = lot_of(cache, 60 * 126);
	more = (struct lot){ cache, 2000, calloc(2000, sizeof(void *)), 0 };
	percpu_cache_free_bulk(cache, lot.nr - 1, lot.objects + 1);
	ck_assert_int_eq(percpu_cache_destroy(cache), -EBUSY);
	nr_calls = 0;
	ck_assert_uint_gt(stats_of(cache).nr_empty_slabs, 4);
	alloc_lot(&more);
	ck_assert_uint_eq(nr_calls, 0);
	for (int i = 0; i < 10; i++) {
		struct lot others = lot_of(other, 1000);

		free_lot(&others);
		free(others.objects);
	}
	ck_assert_uint_eq(nr_calls, 0);
	free_lot(&more);
	ck_assert_uint_gt(nr_calls, 0);
	percpu_cache_free(cache, lot.objects[0]);
	stop();
}
END_TEST

/* ---- many readers and writers ---- */

#define NR_SLOTS 4096
static struct object *slots[NR_SLOTS];
static bool over;
static uint64_t nr_reads, nr_reused, nr_gone;

static void *look(void *arg)
{
	uint64_t random = (uintptr_t)arg;

	rcu_register_thread();
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		uint64_t reads = 0, reused = 0, gone = 0;
		struct object *found[64];
		uint64_t keys[64];

		rcu_read_lock();
		for (int i = 0; i < 64; i++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			found[i] = __atomic_load_n(&slots[random >> 52], __ATOMIC_ACQUIRE); /* pairs with change */
			keys[i] = found[i] ? __atomic_load_n(&found[i]->key, __ATOMIC_RELAXED) : 0;
		}
		if (random >> 60 == 0)
			usleep(1000); /* long enough for memory to go, if it does not wait */
		for (int i = 0; i < 64; i++) {
			if (!found[i])
				continue;
			reads++;
			gone += !is_intact(found[i]);
			reused += __atomic_load_n(&found[i]->key, __ATOMIC_RELAXED) != keys[i];
		}
		rcu_read_unlock();
		__atomic_fetch_add(&nr_reads, reads, __ATOMIC_RELAXED);
		__atomic_fetch_add(&nr_reused, reused, __ATOMIC_RELAXED);
		__atomic_fetch_add(&nr_gone, gone, __ATOMIC_RELAXED);
	}
	rcu_unregister_thread();
	return NULL;
}

/* Fills and clears all slots by turns, so that slabs come and go; memory that went is written by another type. */
static void *change(void *arg)
{
	uint64_t key = (uintptr_t)arg << 32;

	rcu_register_thread();
	for (unsigned round = 0; !__atomic_load_n(&over, __ATOMIC_RELAXED); round++) {
		void *others[512];

		for (unsigned i = 0; i < NR_SLOTS; i++) {
			struct object *object = round & 1 ? NULL : percpu_cache_alloc(cache), *old;

			if (object)
				__atomic_store_n(&object->key, ++key, __ATOMIC_RELAXED);
			old = __atomic_exchange_n(&slots[i], object, __ATOMIC_ACQ_REL); /* pairs with look */
			percpu_cache_free(cache, old);
		}
		if (round & 1)
			percpu_cache_shrink(cache);
		ck_assert_int_eq(percpu_cache_alloc_bulk(other, 512, others), 0);
		for (int i = 0; i < 512; i++)
			memset(others[i], 0xee, sizeof(struct object));
		percpu_cache_free_bulk(other, 512, others);
		percpu_cache_shrink(other);
	}
	rcu_unregister_thread();
	return NULL;
}

/* However busy the machine is: freed objects were looked at, and used anew meanwhile; what is to be found was. */
static bool storm_was_one(bool broken)
{
	return __atomic_load_n(&nr_reads, __ATOMIC_RELAXED) > 1000 && __atomic_load_n(&nr_reused, __ATOMIC_RELAXED) > 0 &&
	       (!broken || __atomic_load_n(&nr_gone, __ATOMIC_RELAXED) > 0);
}

/* Returns: how many reads found memory that was no object any more. */
static uint64_t storm(bool broken)
{
	pthread_t threads[4];

	start(broken);
	for (uintptr_t i = 0; i < 4; i++)
		ck_assert(!pthread_create(&threads[i], NULL, i < 2 ? look : change, (void *)(i + 1)));
	for (unsigned turn = 0; turn < 40 || !storm_was_one(broken); turn++)
		usleep(100000);
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < NR_SLOTS; i++)
		percpu_cache_free(cache, slots[i]);
	stop();
	return nr_gone;
}

START_TEST(readers_never_see_memory_go)
{
	ck_assert_uint_eq(storm(false), 0);
}
END_TEST

START_TEST(readers_see_it_without_grace)
{
	ck_assert_uint_gt(storm(true), 0);
}
END_TEST

/* ---- children, in which no callback runs ---- */

static struct rcu_head *asked, **asked_end = &asked; /* registered callbacks, in order */
static unsigned nr_asked, nr_barriers;

static void note_call(struct rcu_head *head, void (*function)(struct rcu_head *head))
{
	head->func = function;
	head->next.next = NULL;
	*asked_end = head;
	asked_end = (struct rcu_head **)(void *)&head->next.next;
	nr_asked++;
}

static void note_barrier(void)
{
	nr_barriers++;
}

static void call_all(void)
{
	for (struct rcu_head *head = asked, *next; head; head = next) {
		next = (struct rcu_head *)(void *)head->next.next;
		head->func(head);
	}
	asked = NULL;
	asked_end = &asked;
}

static size_t nr_areas(void)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	percpu_pool_stats(NULL, &stats);
	return stats.nr_live;
}

/* Frees so much, for so long, that slabs are given back if they ever are. */
static void free_many(struct percpu_cache *from)
{
	for (unsigned round = 0; round < 5; round++) {
		struct lot lot = lot_of(from, 30 * 126);

		free_lot(&lot);
		usleep(3000);
	}
}

static struct percpu_cache *cache_with(const struct rcu_flavor_struct *flavor)
{
	const struct percpu_cache_attr attr = { .size = sizeof(attr), .flavor = flavor, .decay_ms = 1 };

	return percpu_cache_create_attr("forked", sizeof(struct object), 0, PERCPU_CACHE_TYPESAFE_BY_RCU, construct, &attr);
}

/* The parent's cache and one of the child's own work, shrink and end, and no call is asked for. */
static void live_in_child(const struct rcu_flavor_struct *flavor)
{
	struct percpu_cache *own = cache_with(flavor);
	const unsigned nr_before = nr_asked;

	alarm(60); /* if it waits for a thread that does not exist */
	for (unsigned i = 0; i < 2; i++) {
		struct percpu_cache *one = i ? own : cache;
		const uint64_t nr_returned = stats_of(one).nr_returned_slabs;

		free_many(one);
		if (stats_of(one).nr_returned_slabs != nr_returned || nr_asked != nr_before)
			_exit(1);
		if (percpu_cache_shrink(one) < 10 * 65536)
			_exit(2);
		free_many(one);
	}
	if (percpu_cache_destroy(own) || percpu_cache_destroy(cache) || nr_barriers || nr_asked != nr_before)
		_exit(3);
}

static void must_end_well(pid_t child)
{
	int status;

	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}

START_TEST(caches_end_in_a_child)
{
	pid_t child;

	rcu_register_thread();
	cache = cache_with(&rcu_flavor);
	free_many(cache);
	rcu_barrier();
	ck_assert_uint_gt(stats_of(cache).nr_returned_slabs, 10); /* by calls: the thread is there, and is at rest again */
	child = fork();
	if (!child) {
		live_in_child(&rcu_flavor);
		_exit(0);
	}
	must_end_well(child);
	rcu_barrier();
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
	rcu_unregister_thread();
}
END_TEST

/* Callbacks that were pending when the process forked never run in the child, or run late. */
START_TEST(calls_of_the_parent_do_not_come_or_come_late)
{
	static struct rcu_flavor_struct waiting;
	const size_t nr_before = nr_areas();
	pid_t child;

	rcu_register_thread();
	waiting = rcu_flavor;
	waiting.update_call_rcu = note_call;
	waiting.barrier = note_barrier;
	cache = cache_with(&waiting);
	free_many(cache);
	ck_assert_uint_gt(nr_asked, 10);
	for (unsigned i = 0; i < 2; i++) {
		child = fork();
		if (!child) {
			live_in_child(&waiting);
			if (nr_areas() == nr_before)
				_exit(4); /* what late calls need */
			if (i)
				call_all();
			_exit(i && nr_areas() > nr_before + 1 ? 5 : 0); /* one stays for all caches */
		}
		must_end_well(child);
	}
	call_all();
	waiting.barrier = call_all;
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
	ck_assert_uint_le(nr_areas(), nr_before + 1);
	rcu_unregister_thread();
}
END_TEST

TEST_MAIN_UNLESS(PERCPU__TSAN ? "ThreadSanitizer does not see the grace periods of a liburcu built without it" : NULL,
		 "type stability by RCU", 120, shrink_waits, shrink_without_grace_is_seen, free_waits, free_without_grace_is_seen, caches_end_in_a_child,
	  calls_of_the_parent_do_not_come_or_come_late, who_allocates_calls_nothing,
	  readers_never_see_memory_go, readers_see_it_without_grace)
