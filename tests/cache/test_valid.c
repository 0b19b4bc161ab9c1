/* SPDX-License-Identifier: MIT */
/* The walker of caches says yes to what caches do, and no to each thing that is damaged. */
#include "cache/world.h"

#include "cache/depot.h"
#include "cache/invariants.h"
#include "cache/remote.h"
#include "cache/slab.h"

static const struct setting {
	const char *options;
	size_t size; /* of objects: 8 carry no links; few a slab have their bits in its descriptor; 20000 want units */
} settings[] = {
	{ "", 64 }, { "", 8 }, { "", 5000 }, { "", 20000 }, { "cpus:512", 64 }, { "mode:atomic", 64 }, { "check", 64 },
};
#define NR_SETTINGS ((int)(sizeof(settings) / sizeof(settings[0])))

static struct percpu__cache *cache, *other;
static struct percpu__cpu_cache *cpu_cache, *there; /* of the first CPU and of the second */
static void *used, *elsewhere, *used_by_other; /* objects: of cpu_cache, of there, of the other cache */

static bool is_valid(void)
{
	bool valid;

	percpu__lock(&cache->lock);
	valid = percpu__cache_check_invariants(cache);
	percpu__unlock(&cache->lock);
	return valid;
}

/* Tampers, expects the walker to see it, and repairs. */
#define sees(lvalue, value)                                                                                  \
	do {                                                                                                 \
		__typeof__(lvalue) was_ = (lvalue);                                                          \
		(lvalue) = (__typeof__(lvalue))(value);                                                      \
		ck_assert_msg(!is_valid(), "%s", #lvalue " = " #value);                                      \
		(lvalue) = was_;                                                                             \
		ck_assert(is_valid());                                                                       \
	} while (0)

/* On CPU 1: an object of its own stays in use, another is freed to CPU 0, the lot is freed remotely. */
static void work_elsewhere(void *arg)
{
	struct lot *lot = arg;
	void *gift = percpu_cache_alloc(lot->cache);

	elsewhere = percpu_cache_alloc(lot->cache);
	percpu_cache_free_to(lot->cache, gift, nth_cpu(0));
	free_lot(lot);
}

/* Objects in every place: in use, magazine, depot, slabs, remote free list and remote batch. */
static void setup(size_t size)
{
	const size_t nr = size > 1000 ? 1000 : size > 8 ? 20000 : 80000;
	struct lot lot, more, away;

	pin(0);
	cache = percpu__cache_of(cache_of(size));
	other = percpu__cache_of(cache_of(size));
	ck_assert(is_valid());
	lot = lot_of(&cache->pub, nr);
	more = lot_of(&cache->pub, 93);
	used = percpu_cache_alloc(&cache->pub);
	used_by_other = percpu_cache_alloc(&other->pub);
	ck_assert(is_valid());
	free_lot(&lot);
	ck_assert(is_valid());
	away = lot_of(&cache->pub, 51);
	on_cpu(1, work_elsewhere, &away);
	ck_assert(is_valid());
	free_lot(&more);
	ck_assert(is_valid());
	cpu_cache = percpu_ptr(cache->cpu_caches, nth_cpu(0));
	there = percpu_ptr(cache->cpu_caches, nth_cpu(1));
	ck_assert(cpu_cache->depot.nr > 1 + PERCPU__PACKED_MAX && cpu_cache->partial.nr > 1 && cpu_cache->empty.nr && cpu_cache->remote);
	ck_assert(!cache->sections || cpu_cache->magazine.word % 65536 > 1);
	free(lot.objects);
	free(more.objects);
	free(away.objects);
}

/* Some byte that is not a link. */
static void *inside(void *link)
{
	return (char *)link + 4;
}

/* The remote list, as long as it is, from that link on. */
static uint64_t remote_from(const void *link)
{
	const uint64_t place = ((uintptr_t)link - percpu__arena.base) / PERCPU_CACHE_MIN_SIZE;

	return place << PERCPU__REMOTE_BITS | (cpu_cache->remote & PERCPU__REMOTE_MAX);
}

static void sees_damage_of_a_slab(struct percpu__slab *slab)
{
	const size_t index = percpu__slab_index(slab), last = (cache->nr_per_slab - 1) / 64;
	uint64_t *bits = cache->nr_per_slab <= 64 ? &slab->bits : percpu__arena.free_bits[index].word;
	const uint64_t tag = slab->tag;

	sees(slab->nr_free, slab->nr_free + 1);
	sees(slab->nr_free, slab->nr_free - 1);
	sees(slab->nr_free, 0);
	sees(bits[0], bits[0] ^ 1);
	sees(bits[last], bits[last] ^ 1);
	if (cache->nr_per_slab % 64)
		sees(bits[last], bits[last] ^ UINT64_C(1) << 63);
	if (cache->nr_per_slab % 64 && bits[last])
		sees(bits[last], (bits[last] & (bits[last] - 1)) | UINT64_C(1) << 63);
	sees(slab->listed, 0);
	sees(slab->listed, slab->listed ^ 3);
	sees(slab->prev, slab);
	sees(slab->next, slab);
	sees(slab->next, slab->next ? NULL : slab + 1);
	sees(slab->order, slab->order + 1);
	sees(slab->unit, 1);
	sees(slab->cache, other);
	sees(slab->start, slab->start + 8);
	sees(slab->magazine, percpu__magazine_of(cache, there->copy));
	sees(slab->tag, 0);
	sees(slab->tag, tag + 1);
	if (cache->order)
		sees(slab[1].magazine, percpu__magazine_of(cache, there->copy));
}

/* A slab whose objects are all out is in no list, and known by its links alone. */
static void sees_damage_of_a_slab_without_objects(void)
{
	const uintptr_t *node = cpu_cache->depot.first;
	struct percpu__slab *slab;

	while (node && percpu__slab_of((uintptr_t)node)->listed)
		node = (uintptr_t *)(*node & ~PERCPU__PACKED_MAX);
	ck_assert(node || cache->object_bytes != 64);
	if (!node)
		return;
	slab = percpu__slab_of((uintptr_t)node);
	sees(slab->cache, other);
	sees(slab->magazine, slab->magazine + 8);
	sees(slab->magazine, percpu__magazine_of(cache, percpu_abi.nr_copies - 1));
	sees(slab->magazine, percpu__magazine_of(cache, percpu_abi.nr_copies));
	sees(slab->nr_free, 1);
	sees(slab->listed, 1);
}

static void swap_lists_of_slabs(void)
{
	const struct percpu__slab_list partial = cpu_cache->partial;

	for (struct percpu__slab *slab = partial.first; slab; slab = slab->next)
		slab->listed ^= 3;
	for (struct percpu__slab *slab = cpu_cache->empty.first; slab; slab = slab->next)
		slab->listed ^= 3;
	cpu_cache->partial = cpu_cache->empty;
	cpu_cache->empty = partial;
}

static void sees_damage_of_slabs(void)
{
	struct percpu__slab *partial = cpu_cache->partial.first, *empty = cpu_cache->empty.first;

	sees_damage_of_a_slab(partial);
	sees_damage_of_a_slab(partial->next);
	sees_damage_of_a_slab(empty);
	sees_damage_of_a_slab_without_objects();
	swap_lists_of_slabs();
	ck_assert(!is_valid());
	swap_lists_of_slabs();
	sees(percpu__arena.fresh[percpu__slab_index(partial)], 0);
	sees(cpu_cache->nr_slabs, cpu_cache->partial.nr + cpu_cache->empty.nr - 1);
	sees(cpu_cache->partial.nr, cpu_cache->partial.nr + 1);
	sees(cpu_cache->partial.nr, cpu_cache->partial.nr - 1);
	sees(cpu_cache->partial.first, NULL);
	sees(cpu_cache->partial.first, partial->next);
	sees(cpu_cache->partial.first, empty);
	sees(cpu_cache->empty.nr, cpu_cache->empty.nr + 1);
	sees(cpu_cache->empty.nr, cpu_cache->empty.nr - 1);
	sees(cpu_cache->empty.first, NULL);
	sees(cpu_cache->empty.first, partial);
}

/* An object that is both free in its slab and elsewhere, the slab being as it should otherwise. */
static void sees_one_in_two_places(void *link)
{
	struct percpu__slab *slab = percpu__slab_of((uintptr_t)link);

	ck_assert(percpu__slab_toggle(cache, slab, link));
	slab->nr_free++;
	ck_assert(!is_valid());
	ck_assert(!percpu__slab_toggle(cache, slab, link));
	slab->nr_free--;
	ck_assert(is_valid());
}

/* A word that holds a link, of which no other place may be the same. */
static void sees_damage_of_a_link(void **word)
{
	const struct percpu__slab *slab = percpu__slab_of((uintptr_t)*word);

	sees(*word, NULL);
	sees(*word, inside(*word));
	sees(*word, &word);
	sees(*word, percpu__link_of(other, used_by_other));
	sees(*word, (void *)-1);
	sees(*word, (char *)*word + ((percpu__arena.mask + 1) << PERCPU__ARENA_UNIT_SHIFT)); /* the same slab's to a mask */
	if (percpu__slab_start(slab) != slab->start)
		sees(*word, percpu__slab_start(slab) + cache->link_bytes);
	if (*word != cpu_cache->depot.first)
		sees(*word, cpu_cache->depot.first);
	sees_one_in_two_places(*word);
}

static void sees_damage_of_chains(void)
{
	struct percpu__free_list remote = percpu__remote_look(cpu_cache);
	uintptr_t *node = cpu_cache->depot.first, *second = (uintptr_t *)(*node & ~PERCPU__PACKED_MAX);

	sees(cpu_cache->depot.nr, cpu_cache->depot.nr + 1);
	sees(cpu_cache->depot.nr, cpu_cache->depot.nr - 1);
	sees(cpu_cache->depot.nr, 0);
	sees(cpu_cache->depot.first, second);
	sees(*node, *node & PERCPU__PACKED_MAX);
	sees(*node, (uintptr_t)node + (*node & PERCPU__PACKED_MAX));
	sees(*node, (uintptr_t)percpu__link_of(cache, used) + (*node & PERCPU__PACKED_MAX));
	sees(*second, *second ^ 1);
	sees_damage_of_a_link((void **)&cpu_cache->depot.first);
	if (cache->nr_packed) {
		ck_assert_uint_gt(*second & PERCPU__PACKED_MAX, 1);
		sees_damage_of_a_link((void **)&second[1]);
		sees(second[1], second[2]);
	}
	sees(cpu_cache->remote, cpu_cache->remote + 1);
	sees(cpu_cache->remote, cpu_cache->remote - 1);
	sees(cpu_cache->remote, remote_from(cpu_cache->depot.first));
	sees(cpu_cache->remote, remote_from(percpu__link_of(other, used_by_other)));
	sees(*remote.first, *remote.first ^ 1);
	sees_one_in_two_places(remote.first);
}

static void sees_damage_of_cpu_caches(void)
{
	struct percpu__cpu_cache *fallback = percpu__cpu_cache_at(cache, percpu_abi.nr_copies - 1);

	ck_assert(is_valid());
	sees(fallback->ready, false);
	sees(fallback->copy, cpu_cache->copy);
	sees(fallback->magazine.limit, cache->magazine_limit);
	sees(fallback->remote_batch[0].head.limit, cache->batch_limit);
	sees(cpu_cache->magazine.limit, cache->magazine_limit + 1);
	if (cache->sections)
		sees(cpu_cache->magazine.limit, 0);
	sees(cpu_cache->magazine.word, cpu_cache->magazine.word / 65536 * 65536 + cache->magazine_limit + 1);
	sees(there->remote_batch[0].head.limit, cache->batch_limit + 1);
	sees(there->remote_batch[0].head.nr, cache->batch_limit + 1);
}

static void sees_damage_of_arrays(void)
{
	const unsigned which = cpu_cache->copy & (cache->nr_batches - 1u);
	struct percpu__remote_batch *batch = &there->remote_batch[which];

	if (cache->sections) {
		sees_damage_of_a_link(&cpu_cache->magazine.slot[0]);
		sees_damage_of_a_link(&cpu_cache->magazine.slot[cpu_cache->magazine.word % 65536 - 1]);
		sees(cpu_cache->magazine.slot[0], cpu_cache->magazine.slot[1]);
	}
	if (!cache->remote_batches)
		return;
	ck_assert_uint_gt(batch->head.nr, 0);
	sees_damage_of_a_link(&batch->slot[0]);
	sees(batch->slot[0], cpu_cache->magazine.slot[0]);
	if (which != (there->copy & (cache->nr_batches - 1u)))
		sees(batch->slot[0], percpu__link_of(cache, elsewhere));
}

START_TEST(the_walker_sees_damage)
{
	setenv("PERCPU_OPTIONS", settings[_i].options, 1);
	if (!has_two_cpus())
		SKIP("one CPU alone");
	setup(settings[_i].size);
	sees_damage_of_slabs();
	sees_damage_of_chains();
	sees_damage_of_cpu_caches();
	sees_damage_of_arrays();
	ck_assert_int_gt(percpu_cache_shrink(&cache->pub), 0);
	ck_assert(is_valid());
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("valid");
	TCase *tcase = case_of("valid");

	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, the_walker_sees_damage, 0, NR_SETTINGS);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
