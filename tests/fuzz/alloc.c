/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU memory and pools: live areas keep their bytes in every copy, new areas are zero,
 * statistics are exact.
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <percpu/percpu.h>
#include <string.h>

#include "percpu/percpu.h"

#define NR_SLOTS 96
#define NR_POOLS 3 /* the first one is the default pool */

static struct slot {
	char *p; /* NULL: vacant */
	size_t size;
	unsigned pool;
	uint8_t seed;
} slots[NR_SLOTS];

static struct model_pool {
	bool exists;
	struct percpu_pool *pool;
	size_t nr_live, live_bytes, limit_bytes;
} pools[NR_POOLS];

static size_t granules(size_t size)
{
	return (size + 7) / 8 * 8;
}

static char byte_of(const struct slot *slot, unsigned copy, size_t at)
{
	return 1 + (slot->seed + 31 * copy + at + (at >> 8)) % 255;
}

/* Compares small areas as a whole, and the ends of large ones. */
static size_t step(const struct slot *slot)
{
	return slot->size <= 512 ? 1 : slot->size / 64;
}

static void begin(struct slot *slot, char *p, size_t size, size_t align, unsigned pool, uint8_t seed)
{
	*slot = (struct slot){ p, size, pool, seed };
	must((uintptr_t)p % align == 0 && (uintptr_t)p % 8 == 0);
	must(percpu_usable_size(p) == granules(size));
	percpu_for_each_copy(i) {
		char *copy = percpu_ptr(p, i);

		must(!copy[0] && !copy[granules(size) - 1] && !memcmp(copy, copy + 1, granules(size) - 1));
		for (size_t at = 0; at < size; at += step(slot))
			copy[at] = byte_of(slot, i, at);
		copy[size - 1] = byte_of(slot, i, size - 1);
	}
	pools[pool].nr_live++;
	pools[pool].live_bytes += granules(size);
}

/* Empties a slot. Returns: its area, whose bytes were compared. */
static void *end(struct slot *slot)
{
	char *p = slot->p;

	percpu_for_each_copy(i) {
		const char *copy = percpu_ptr(p, i);

		for (size_t at = 0; at < slot->size; at += step(slot))
			must(at == slot->size - 1 || copy[at] == byte_of(slot, i, at));
		must(copy[slot->size - 1] == byte_of(slot, i, slot->size - 1));
	}
	pools[slot->pool].nr_live--;
	pools[slot->pool].live_bytes -= granules(slot->size);
	slot->p = NULL;
	return p;
}

static void look_at_pool(const struct model_pool *pool)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	must(!percpu_pool_stats(pool->pool, &stats));
	must(stats.nr_live == pool->nr_live && stats.live_bytes == pool->live_bytes);
	must(stats.live_bytes <= stats.used_page_bytes && stats.used_page_bytes <= stats.held_page_bytes);
	must(!pool->limit_bytes || stats.live_bytes <= stats.limit_bytes);
	must(percpu__pool_is_valid(percpu__pool_or_default(pool->pool)));
}

static void try_alloc(struct input *input)
{
	struct slot *slot = &slots[next_byte(input) % NR_SLOTS];
	const unsigned which = next_byte(input) % NR_POOLS;
	const size_t size = next_size(input), align = (size_t)1 << next_byte(input) % 14;
	struct model_pool *pool = &pools[which];
	char *p;

	if (slot->p || !pool->exists)
		return;
	errno = 0;
	p = which ? (char *)percpu_pool_alloc(pool->pool, size, align) : (char *)percpu_alloc(size, align);
	if (!size || align > PERCPU_MAX_ALIGN)
		must(!p && errno == EINVAL);
	else if (size > PERCPU_MAX_SIZE)
		must(!p && errno == E2BIG);
	else if (pool->limit_bytes && pool->live_bytes + granules(size) > granules(pool->limit_bytes))
		must(!p && errno == ENOMEM);
	else
		must(p);
	if (p)
		begin(slot, p, size, align, which, next_byte(input));
}

static void try_free(struct input *input)
{
	struct slot *slot = &slots[next_byte(input) % NR_SLOTS];

	errno = EXDEV;
	if (slot->p)
		percpu_free(end(slot));
	else
		percpu_free(NULL);
	must(errno == EXDEV);
}

static void try_bulk(struct input *input)
{
	const size_t size = next_size(input) % 3000 + 1;
	const unsigned nr = next_byte(input) % 40;
	void __percpu *made[40];
	unsigned nr_vacant = 0, at = 0;

	for (unsigned i = 0; i < NR_SLOTS; i++)
		nr_vacant += !slots[i].p;
	if (nr_vacant < nr)
		return;
	must(!percpu_alloc_bulk(size, 16, nr, made));
	for (unsigned i = 0; at < nr; i++)
		if (!slots[i].p)
			begin(&slots[i], (char *)made[at++], size, 16, 0, i);
}

static void try_free_bulk(struct input *input)
{
	const unsigned from = next_byte(input) % NR_SLOTS, nr = next_byte(input) % 40;
	void __percpu *freed[40];

	for (unsigned i = 0; i < nr; i++) {
		struct slot *slot = &slots[(from + i) % NR_SLOTS];

		freed[i] = slot->p ? end(slot) : NULL;
	}
	percpu_free_bulk(nr, freed);
}

static void try_pool(struct input *input)
{
	struct model_pool *pool = &pools[1 + next_byte(input) % (NR_POOLS - 1)];
	const uint8_t bits = next_byte(input);
	const struct percpu_pool_attr attr = {
		.size = sizeof(attr),
		.huge_pages = bits % 4,
		.populate = bits / 4 % 4,
		.node_policy = bits / 16 % 4,
		.limit_bytes = bits & 64 ? 1000 + 100 * (size_t)next_byte(input) : 0,
	};
	const bool is_good = attr.huge_pages <= PERCPU_OFF && attr.populate <= PERCPU_OFF && attr.node_policy <= PERCPU_OFF;

	if (pool->exists) {
		const int error = percpu_pool_destroy(pool->pool);

		must(error == (pool->nr_live ? -EBUSY : 0));
		if (!error)
			*pool = (struct model_pool){ .exists = false };
		return;
	}
	pool->pool = percpu_pool_create("fuzz", bits & 128 ? NULL : &attr);
	if (!(bits & 128) && !is_good) {
		must(!pool->pool && errno == EINVAL);
		return;
	}
	must(pool->pool);
	pool->exists = true;
	pool->limit_bytes = bits & 128 ? 0 : attr.limit_bytes;
}

static void try_trim(struct input *input)
{
	struct model_pool *pool = &pools[next_byte(input) % NR_POOLS];

	if (pool->exists)
		must(percpu_trim(pool->pool) >= 0);
}

/* The sum sees an operation on a word of a live area, which is then undone. */
static void try_operations(struct input *input)
{
	struct slot *slot = &slots[next_byte(input) % NR_SLOTS];
	const uint32_t v = next_word(input);
	uint32_t __percpu *word;
	uint32_t before;

	if (!slot->p || slot->size < 8)
		return;
	word = (uint32_t __percpu *)(slot->p + slot->size / 8 * 4);
	before = percpu_sum(word);
	percpu_add(word, v);
	must(percpu_sum(word) == before + v);
	percpu_sub(word, v);
	must(percpu_sum(word) == before);
}

static void do_one(struct input *input)
{
	static void (*const list[])(struct input *) = { try_alloc, try_alloc, try_alloc, try_free, try_free, try_bulk,
							try_free_bulk, try_pool, try_trim, try_operations };

	list[next_byte(input) % (sizeof(list) / sizeof(list[0]))](input);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	setenv("PERCPU_OPTIONS", "cpus:3", 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input input = { bytes, bytes + size };

	pools[0].exists = true;
	while (input.at < input.end) {
		do_one(&input);
		for (unsigned i = 0; i < NR_POOLS; i++)
			if (pools[i].exists)
				look_at_pool(&pools[i]);
	}
	for (unsigned i = 0; i < NR_SLOTS; i++)
		if (slots[i].p)
			percpu_free(end(&slots[i]));
	for (unsigned i = 1; i < NR_POOLS; i++)
		if (pools[i].exists)
			must(!percpu_pool_destroy(pools[i].pool));
	memset(pools, 0, sizeof(pools));
	look_at_pool(&pools[0]);
	return 0;
}
