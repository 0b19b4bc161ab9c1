/* SPDX-License-Identifier: MIT */
/*
 * Owns the map from addresses to chunks: a radix tree of two levels, keyed by unit number
 * (address / stride). Readers take no lock and may look up any address. Leaves are never unmapped.
 * Writers of different pools conflict only if both make the same leaf; a compare-and-swap decides.
 *
 *	address:  | 0 ... | 14 bits: root | 16 bits: leaf | 18 bits: offset in the unit |
 */
#include <errno.h>

#include "percpu/percpu.h"

struct percpu__leaf *percpu__root[1u << PERCPU__ROOT_BITS];

static struct percpu__leaf **root_entry(uintptr_t unit)
{
	return &percpu__root[unit >> PERCPU__LEAF_BITS];
}

static struct percpu__chunk **leaf_entry(struct percpu__leaf *leaf, uintptr_t unit)
{
	return &leaf->chunk[unit & ((1u << PERCPU__LEAF_BITS) - 1)];
}

/*
 * Returns: the leaf, which another thread may have made; NULL if there is no memory.
 * The release pairs with percpu__pagemap_find.
 */
static struct percpu__leaf *make_leaf(struct percpu__leaf **entry)
{
	struct percpu__leaf *made = percpu__map(sizeof(*made)), *found = NULL;

	if (!made)
		return NULL;
	if (__atomic_compare_exchange_n(entry, &found, made, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return made;
	percpu__release(made, sizeof(*made));
	return found;
}

/*
 * Stores value for the units [first, end), whose leaves exist.
 * The release pairs with percpu__pagemap_find.
 */
static void enter(uintptr_t first, uintptr_t end, struct percpu__chunk *value)
{
	for (uintptr_t unit = first; unit < end; unit++)
		__atomic_store_n(leaf_entry(*root_entry(unit), unit), value, __ATOMIC_RELEASE);
}

static uintptr_t first_unit(const struct percpu__chunk *chunk)
{
	return (uintptr_t)chunk->base >> PERCPU_STRIDE_SHIFT;
}

static uintptr_t end_unit(const struct percpu__chunk *chunk)
{
	return first_unit(chunk) + 1 + percpu_abi.nr_copies;
}

int percpu__pagemap_insert(struct percpu__chunk *chunk)
{
	const uintptr_t end = end_unit(chunk);

	if ((end - 1) >> (PERCPU__LEAF_BITS + PERCPU__ROOT_BITS))
		return -ENOMEM; /* beyond the addresses that percpu__pagemap_find knows */
	for (uintptr_t unit = first_unit(chunk); unit < end; unit++) {
		struct percpu__leaf **entry = root_entry(unit);

		if (!__atomic_load_n(entry, __ATOMIC_ACQUIRE) && !make_leaf(entry))
			return -ENOMEM;
	}
	enter(first_unit(chunk), end, chunk);
	return 0;
}

void percpu__pagemap_remove(struct percpu__chunk *chunk)
{
	enter(first_unit(chunk), end_unit(chunk), NULL);
}
