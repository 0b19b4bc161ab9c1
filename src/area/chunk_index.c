/* SPDX-License-Identifier: MIT */
/*
 * The chunk index: up to PERCPU__CHUNK_INDEX_SLOTS area maps, one per chunk, and which of them has
 * a free area in which bin.
 *
 * Terms. A slot is the place of a map in the index; a bin is on at a slot if the map there holds a
 * free area of that bin. A tree summarises that, 64 to one:
 *
 *   root     bit b of bins[n]: bin n is on at a slot in branch b       16 branches
 *   branch   bit l of bins[n]: bin n is on at a slot in leaf l         64 leaves each
 *   leaf     bit s of bins[n]: bin n is on at slot s                   64 slots each
 *
 * so three words lead to the lowest slot at which a bin is on, however many chunks there are. The
 * root also has the set of bins that are on anywhere. After each change of a map the bins that went
 * on or off are toggled in its leaf, and further up only if the leaf's word became zero or ceased
 * to be. The word "full" of a node has a bit set for each child without a vacant slot.
 *
 * Worked example. Bin 9 is on at slots 0 and 70: bit 0 of bins[9] is set in the root; bits 0 and 1
 * in branch 0; bit 0 in leaf 0 and bit 6 in leaf 1. When slot 0 uses its last area of bin 9, the
 * word of leaf 0 becomes zero and bit 0 is cleared in branch 0; the root stays as it is.
 *
 * Policy: best fit over all chunks, and the lowest slot among equals, so that high slots run empty
 * and their chunks can be given back; this bounds fragmentation over chunks. The request's own bin,
 * and every bin if alignment matters, may hold no area that fits: after NR_TRIES maps in vain the
 * search goes on in the bin in which every area fits.
 */
#include "area/bin.h"

#define NR_TRIES 4
#define FAN_OUT 64u
#define BRANCH_SLOTS (FAN_OUT * FAN_OUT)
#define NR_BRANCHES (PERCPU__CHUNK_INDEX_SLOTS / BRANCH_SLOTS)

_Static_assert(NR_BRANCHES <= FAN_OUT, "the root has a bit for each branch");

struct node {
	uint64_t bins[PERCPU__NR_BINS];
	uint64_t full;
};

struct index_leaf {
	struct node node;
	struct percpu__area_map *maps[FAN_OUT];
};

/* A branch is stored beside its leaves, so that the memory in use grows with the slots. */
struct index_branch {
	struct node node;
	struct index_leaf leaves[FAN_OUT];
};

struct percpu__chunk_index_tree {
	struct node root;
	struct percpu__bins on; /* bins whose word in the root is not zero */
	struct index_branch branches[];
};

static inline struct index_branch *branch_of(const struct percpu__chunk_index *index, uint32_t slot)
{
	return &index->tree->branches[slot / BRANCH_SLOTS];
}

static inline struct index_leaf *leaf_of(const struct percpu__chunk_index *index, uint32_t slot)
{
	return &branch_of(index, slot)->leaves[slot / FAN_OUT % FAN_OUT];
}

static inline uint64_t bit_of(uint32_t i)
{
	return UINT64_C(1) << i % FAN_OUT;
}

/* Returns: a mask of bit i and above; 0 if i is FAN_OUT. */
static inline uint64_t bits_from(uint32_t i)
{
	return i < FAN_OUT ? ~UINT64_C(0) << i : 0;
}

static inline uint32_t lowest(uint64_t bits)
{
	return (uint32_t)__builtin_ctzll(bits);
}

size_t percpu__chunk_index_bytes(uint32_t capacity)
{
	uint32_t last = capacity - 1;

	return offsetof(struct percpu__chunk_index_tree, branches) +
	       last / BRANCH_SLOTS * sizeof(struct index_branch) +
	       offsetof(struct index_branch, leaves) +
	       (last / FAN_OUT % FAN_OUT + 1) * sizeof(struct index_leaf);
}

void percpu__chunk_index_init(struct percpu__chunk_index *index, uint32_t capacity, void *memory)
{
	*index = (struct percpu__chunk_index){ .tree = memory, .capacity = capacity };
}

/* Updates the nodes above a leaf whose word for the bin became zero or ceased to be. */
static void toggle_above(struct percpu__chunk_index *index, uint32_t slot, unsigned bin)
{
	uint64_t *branch = &branch_of(index, slot)->node.bins[bin];
	uint64_t *root = &index->tree->root.bins[bin];
	uint64_t was = *branch;

	*branch ^= bit_of(slot / FAN_OUT);
	if (was && *branch)
		return;
	*root ^= bit_of(slot / BRANCH_SLOTS);
	if (*root)
		bins_set(&index->tree->on, bin);
	else
		bins_clear(&index->tree->on, bin);
}

/* Turns a bin on or off at a slot. */
static inline void set_on(struct percpu__chunk_index *index, struct index_leaf *leaf, uint32_t slot,
			  unsigned bin, bool on)
{
	uint64_t was = leaf->node.bins[bin];
	uint64_t is = (was & ~bit_of(slot)) | (uint64_t)on << slot % FAN_OUT;

	leaf->node.bins[bin] = is;
	if (!was != !is)
		toggle_above(index, slot, bin);
}

static void set_all(struct percpu__chunk_index *index, uint32_t slot,
		    const struct percpu__area_map *map, bool on)
{
	struct percpu__bins bins = percpu__area_map_bins(map);

	for (unsigned bin = bins_next(&bins, 0); bin < PERCPU__NR_BINS;
	     bin = bins_next(&bins, bin + 1))
		set_on(index, leaf_of(index, slot), slot, bin, on);
}

/* Updates a slot after an operation on its map. */
static inline void update(struct percpu__chunk_index *index, struct index_leaf *leaf, uint32_t slot,
			  const struct percpu__area_map *map)
{
	for (unsigned i = 0; i < map->nr_changed; i++) {
		unsigned bin = map->changed[i];

		set_on(index, leaf, slot, bin, percpu__area_map_is_on(map, bin));
	}
}

/* Returns: the lowest slot at which the bin is on; it is on at the root. */
static inline uint32_t first_with(const struct percpu__chunk_index *index, unsigned bin)
{
	const struct percpu__chunk_index_tree *tree = index->tree;
	uint32_t b = lowest(tree->root.bins[bin]);
	const struct index_branch *branch = &tree->branches[b];
	uint32_t l = lowest(branch->node.bins[bin]);

	return b * BRANCH_SLOTS + l * FAN_OUT + lowest(branch->leaves[l].node.bins[bin]);
}

/*
 * Returns: the first slot at or after slot at which the bin is on; PERCPU__NO_SLOT if there is
 * none.
 */
static uint32_t next_with(const struct percpu__chunk_index *index, unsigned bin, uint32_t slot)
{
	const struct percpu__chunk_index_tree *tree = index->tree;
	uint32_t b = slot / BRANCH_SLOTS, l = slot / FAN_OUT % FAN_OUT;
	uint64_t bits;

	if (slot >= index->end)
		return PERCPU__NO_SLOT;
	bits = leaf_of(index, slot)->node.bins[bin] & bits_from(slot % FAN_OUT);
	if (!bits) {
		bits = branch_of(index, slot)->node.bins[bin] & bits_from(l + 1);
		if (!bits) {
			bits = tree->root.bins[bin] & bits_from(b + 1);
			if (!bits)
				return PERCPU__NO_SLOT;
			b = lowest(bits);
			bits = tree->branches[b].node.bins[bin];
		}
		l = lowest(bits);
		bits = tree->branches[b].leaves[l].node.bins[bin];
	}
	return b * BRANCH_SLOTS + l * FAN_OUT + lowest(bits);
}

uint32_t percpu__chunk_index_add(struct percpu__chunk_index *index, struct percpu__area_map *map)
{
	struct percpu__chunk_index_tree *tree = index->tree;
	struct index_branch *branch;
	struct index_leaf *leaf;
	uint32_t b, l, slot;

	if (index->nr_chunks == index->capacity)
		return PERCPU__NO_SLOT;
	b = lowest(~tree->root.full);
	branch = &tree->branches[b];
	l = lowest(~branch->node.full);
	leaf = &branch->leaves[l];
	slot = b * BRANCH_SLOTS + l * FAN_OUT + lowest(~leaf->node.full);

	leaf->maps[slot % FAN_OUT] = map;
	leaf->node.full |= bit_of(slot);
	if (!~leaf->node.full)
		branch->node.full |= bit_of(l);
	if (!~branch->node.full)
		tree->root.full |= bit_of(b);
	if (slot >= index->end)
		index->end = slot + 1;
	index->nr_chunks++;
	index->nr_live += map->nr_live;
	index->live_granules += map->live_granules;
	set_all(index, slot, map, true);
	return slot;
}

struct percpu__area_map *percpu__chunk_index_at(const struct percpu__chunk_index *index,
						uint32_t slot)
{
	return slot < index->end ? leaf_of(index, slot)->maps[slot % FAN_OUT] : NULL;
}

struct percpu__area_map *percpu__chunk_index_remove(struct percpu__chunk_index *index,
						    uint32_t slot)
{
	struct percpu__area_map *map = percpu__chunk_index_at(index, slot);

	if (!map)
		return NULL;
	set_all(index, slot, map, false);
	leaf_of(index, slot)->maps[slot % FAN_OUT] = NULL;
	leaf_of(index, slot)->node.full &= ~bit_of(slot);
	branch_of(index, slot)->node.full &= ~bit_of(slot / FAN_OUT);
	index->tree->root.full &= ~bit_of(slot / BRANCH_SLOTS);
	index->nr_chunks--;
	index->nr_live -= map->nr_live;
	index->live_granules -= map->live_granules;
	return map;
}

uint32_t percpu__chunk_index_next(const struct percpu__chunk_index *index, uint32_t slot)
{
	for (; slot < index->end; slot = (slot | (FAN_OUT - 1)) + 1) {
		uint64_t taken = leaf_of(index, slot)->node.full & bits_from(slot % FAN_OUT);

		if (taken)
			return (slot & ~(FAN_OUT - 1)) + lowest(taken);
	}
	return PERCPU__NO_SLOT;
}

static inline bool alloc_at(struct percpu__chunk_index *index, uint32_t slot, unsigned bin,
			    uint32_t granules, uint32_t align_granules, uint32_t *offset)
{
	struct index_leaf *leaf = leaf_of(index, slot);
	struct percpu__area_map *map = leaf->maps[slot % FAN_OUT];

	if (!percpu__area_map_alloc_from(map, bin, granules, align_granules, offset))
		return false;
	update(index, leaf, slot, map);
	index->nr_live++;
	index->live_granules += granules;
	return true;
}

bool percpu__chunk_index_alloc(struct percpu__chunk_index *index, uint32_t granules,
			       uint32_t align_granules, uint32_t *slot, uint32_t *offset)
{
	const struct percpu__bins *on = &index->tree->on;
	unsigned bin = bins_next(on, bin_of(granules));
	int tries = 0;

	if (!granules)
		return false;
	while (bin < PERCPU__NR_BINS) {
		for (uint32_t at = first_with(index, bin); at != PERCPU__NO_SLOT;
		     at = next_with(index, bin, at + 1)) {
			if (alloc_at(index, at, bin, granules, align_granules, offset)) {
				*slot = at;
				return true;
			}
			if (++tries == NR_TRIES)
				break;
		}
		/* In the bin of bin_sure the first try succeeds. */
		if (tries == NR_TRIES)
			bin = bin_sure(granules, align_granules);
		else
			bin++;
		bin = bins_next(on, bin);
	}
	return false;
}

uint32_t percpu__chunk_index_claim(struct percpu__chunk_index *index, uint32_t slot, uint32_t at,
				   uint32_t end)
{
	struct index_leaf *leaf = leaf_of(index, slot);
	struct percpu__area_map *map = leaf->maps[slot % FAN_OUT];
	uint32_t nr = 0, taken;

	while ((taken = percpu__area_map_claim(map, &at, end))) {
		update(index, leaf, slot, map);
		index->nr_live++;
		index->live_granules += taken;
		nr++;
	}
	return nr;
}

uint32_t percpu__chunk_index_free(struct percpu__chunk_index *index, uint32_t slot, uint32_t offset,
			    struct percpu__range *merged)
{
	struct percpu__area_map *map;
	struct index_leaf *leaf;
	uint32_t size;

	if (slot >= index->end)
		return 0;
	leaf = leaf_of(index, slot);
	map = leaf->maps[slot % FAN_OUT];
	if (!map)
		return 0;
	size = percpu__area_map_free(map, offset, merged);
	if (!size)
		return 0;
	update(index, leaf, slot, map);
	index->nr_live--;
	index->live_granules -= size;
	return size;
}

/* Returns: true if the tree agrees with the leaf that holds slot, and the leaf with its maps. */
static bool leaf_is_valid(const struct percpu__chunk_index *index, uint32_t slot)
{
	const struct index_leaf *leaf = leaf_of(index, slot);
	const struct index_branch *branch = branch_of(index, slot);
	const struct percpu__chunk_index_tree *tree = index->tree;
	uint64_t bins[PERCPU__NR_BINS] = { 0 };

	for (uint32_t s = 0; s < FAN_OUT; s++) {
		struct percpu__bins on;

		if (!leaf->maps[s] != !(leaf->node.full & bit_of(s)))
			return false;
		if (!leaf->maps[s])
			continue;
		if (slot + s >= index->end || !percpu__area_map_is_valid(leaf->maps[s]))
			return false;
		on = percpu__area_map_bins(leaf->maps[s]);
		for (unsigned bin = bins_next(&on, 0); bin < PERCPU__NR_BINS;
		     bin = bins_next(&on, bin + 1))
			bins[bin] |= bit_of(s);
	}
	for (unsigned bin = 0; bin < PERCPU__NR_BINS; bin++) {
		const uint64_t in_branch = branch->node.bins[bin], in_root = tree->root.bins[bin];

		if (leaf->node.bins[bin] != bins[bin] ||
		    !bins[bin] != !(in_branch & bit_of(slot / FAN_OUT)) ||
		    !in_branch != !(in_root & bit_of(slot / BRANCH_SLOTS)) ||
		    !in_root != !(tree->on.word[bin / 64] & bit_of(bin)))
			return false;
	}
	return !~leaf->node.full == !!(branch->node.full & bit_of(slot / FAN_OUT)) &&
	       !~branch->node.full == !!(tree->root.full & bit_of(slot / BRANCH_SLOTS));
}

bool percpu__chunk_index_is_valid(const struct percpu__chunk_index *index)
{
	uint64_t nr_live = 0, live_granules = 0;
	uint32_t nr_chunks = 0;

	for (uint32_t slot = 0; slot < index->end; slot += FAN_OUT) {
		if (!leaf_is_valid(index, slot))
			return false;
	}
	percpu__chunk_index_for_each(index, slot) {
		const struct percpu__area_map *map = percpu__chunk_index_at(index, slot);

		nr_chunks++;
		nr_live += map->nr_live;
		live_granules += map->live_granules;
	}
	return nr_chunks == index->nr_chunks && nr_live == index->nr_live &&
	       live_granules == index->live_granules;
}
