/* SPDX-License-Identifier: MIT */
/*
 * Object caches, on two CPUs: an object has one holder, keeps its bytes and is counted; a free
 * object is in one place.
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <percpu/percpu.h>
#include <sched.h>
#include <string.h>

#include "cache/invariants.h"

#define NR_SLOTS 200
#define NR_CACHES 3

static struct slot {
	char *object; /* NULL: vacant */
	unsigned cache;
	uint8_t seed;
} slots[NR_SLOTS];

static struct model_cache {
	struct percpu_cache *cache; /* NULL: none */
	size_t size, align, nr_objects;
	unsigned flags;
	bool constructed;
} caches[NR_CACHES];

static unsigned cpus[2];

/*
 * The first word of every object of a cache with a constructor, at its allocation and at its free.
 */
#define CONSTRUCTED 0x5a

static void construct(void *object)
{
	*(char *)object = CONSTRUCTED;
}

static void bind_to(unsigned which)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpus[which], &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void begin(struct slot *slot, unsigned which, char *object, uint8_t seed)
{
	struct model_cache *cache = &caches[which];

	must((uintptr_t)object % (cache->align < 8 ? 8 : cache->align) == 0);
	must(!(cache->flags & PERCPU_CACHE_LINE_ALIGN) || (uintptr_t)object % 64 == 0);
	must(!cache->constructed || *object == CONSTRUCTED);
	if (cache->flags & PERCPU_CACHE_ZERO)
		for (size_t at = 0; at < cache->size; at++)
			must(!object[at]);
	memset(object, seed, cache->size);
	*slot = (struct slot){ object, which, seed };
	cache->nr_objects++;
}

static char *end(struct slot *slot)
{
	const struct model_cache *cache = &caches[slot->cache];
	char *object = slot->object;

	for (size_t at = 0; at < cache->size; at++)
		must(object[at] == (char)slot->seed);
	if (cache->constructed)
		construct(object);
	slot->object = NULL;
	caches[slot->cache].nr_objects--;
	return object;
}

/* No other thread uses the cache, so magazines and remote batches do not change. */
static bool is_valid(struct percpu__cache *cache)
{
	bool valid;

	percpu__lock(&cache->lock);
	valid = percpu__cache_check_invariants(cache);
	percpu__unlock(&cache->lock);
	return valid;
}

static void look(const struct model_cache *cache)
{
	struct percpu_cache_stats stats = { .size = sizeof(stats) };

	must(!percpu_cache_stats(cache->cache, &stats));
	must(stats.nr_objects == cache->nr_objects);
	must(stats.object_bytes >= cache->size && stats.nr_empty_slabs <= stats.nr_slabs);
	must(stats.slabs_bytes == stats.nr_slabs * stats.slab_bytes);
	must(is_valid(percpu__cache_of(cache->cache)));
}

static void try_create_or_destroy(struct input *input)
{
	struct model_cache *cache = &caches[next_byte(input) % NR_CACHES];
	const size_t size = next_word(input) % 5000, align = (size_t)1 << next_byte(input) % 14 >> 1;
	const uint8_t bits = next_byte(input);
	const unsigned flags = bits % 4;
	void (*ctor)(void *) = bits & 4 ? construct : NULL;
	const bool is_good = size >= PERCPU_CACHE_MIN_SIZE && align <= PERCPU_MAX_ALIGN && !(ctor && flags & PERCPU_CACHE_ZERO);

	if (cache->cache) {
		const int error = percpu_cache_destroy(cache->cache);

		must(error == (cache->nr_objects ? -EBUSY : 0));
		if (!error)
			cache->cache = NULL;
		return;
	}
	errno = 0;
	*cache = (struct model_cache){ percpu_cache_create("fuzz", size, align, flags, ctor), size, align, 0, flags, ctor };
	must(is_good ? cache->cache != NULL : !cache->cache && errno == EINVAL);
}

static void try_alloc(struct input *input)
{
	struct slot *slot = &slots[next_byte(input) % NR_SLOTS];
	const unsigned which = next_byte(input) % NR_CACHES;
	char *object;

	if (slot->object || !caches[which].cache)
		return;
	object = percpu_cache_alloc(caches[which].cache);
	must(object);
	begin(slot, which, object, next_byte(input));
}

static void try_free(struct input *input)
{
	struct slot *slot = &slots[next_byte(input) % NR_SLOTS];

	errno = EXDEV;
	if (slot->object)
		percpu_cache_free(caches[slot->cache].cache, end(slot));
	must(errno == EXDEV);
}

static void try_free_to(struct input *input)
{
	struct slot *slot = &slots[next_byte(input) % NR_SLOTS];
	const unsigned cpu = next_byte(input) % percpu_nr_cpus();

	if (slot->object)
		percpu_cache_free_to(caches[slot->cache].cache, end(slot), cpu);
}

static void try_bulk(struct input *input)
{
	const unsigned which = next_byte(input) % NR_CACHES, nr = next_byte(input) % 100;
	void *objects[100];
	unsigned nr_vacant = 0, at = 0;

	for (unsigned i = 0; i < NR_SLOTS; i++)
		nr_vacant += !slots[i].object;
	if (!caches[which].cache || nr_vacant < nr)
		return;
	must(!percpu_cache_alloc_bulk(caches[which].cache, nr, objects));
	for (unsigned i = 0; at < nr; i++)
		if (!slots[i].object)
			begin(&slots[i], which, objects[at++], i);
}

static void try_free_bulk(struct input *input)
{
	const unsigned which = next_byte(input) % NR_CACHES, from = next_byte(input), nr = next_byte(input) % 100;
	void *objects[100];
	unsigned nr_freed = 0;

	for (unsigned i = 0; i < nr; i++) {
		struct slot *slot = &slots[(from + i) % NR_SLOTS];

		if (slot->object && slot->cache == which)
			objects[nr_freed++] = end(slot);
	}
	if (caches[which].cache)
		percpu_cache_free_bulk(caches[which].cache, nr_freed, objects);
}

static void try_shrink(struct input *input)
{
	const struct model_cache *cache = &caches[next_byte(input) % NR_CACHES];

	if (cache->cache)
		must(percpu_cache_shrink(cache->cache) >= 0);
}

static void try_other_cpu(struct input *input)
{
	bind_to(next_byte(input) % 2);
}

static void do_one(struct input *input)
{
	static void (*const list[])(struct input *) = { try_create_or_destroy, try_alloc, try_alloc, try_free, try_free,
							try_free_to, try_bulk, try_free_bulk, try_shrink, try_other_cpu };

	list[next_byte(input) % (sizeof(list) / sizeof(list[0]))](input);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	unsigned nr = 0;
	cpu_set_t allowed;

	must(!sched_getaffinity(0, sizeof(allowed), &allowed));
	for (unsigned cpu = 0; cpu < CPU_SETSIZE && nr < 2; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			cpus[nr++] = cpu;
	if (nr < 2)
		cpus[1] = cpus[0];
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input input = { bytes, bytes + size };

	bind_to(0);
	while (input.at < input.end) {
		do_one(&input);
		for (unsigned i = 0; i < NR_CACHES; i++)
			if (caches[i].cache)
				look(&caches[i]);
	}
	for (unsigned i = 0; i < NR_SLOTS; i++)
		if (slots[i].object)
			percpu_cache_free(caches[slots[i].cache].cache, end(&slots[i]));
	for (unsigned i = 0; i < NR_CACHES; i++)
		if (caches[i].cache)
			must(!percpu_cache_destroy(caches[i].cache));
	memset(caches, 0, sizeof(caches));
	return 0;
}
