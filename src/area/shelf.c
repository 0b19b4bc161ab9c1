/* SPDX-License-Identifier: MIT */
/*
 * A shelf: up to PERCPU__SHELF_SLOTS spaces side by side, and which of them has an area of which bin.
 *
 * Words. A slot is a space's place on the shelf; a bin is on at a slot when the space there holds a free
 * area of that bin. The tree sums that up, 64 to one:
 *
 *   root     bit b of bins[n]: a slot in branch b has bin n on         16 branches
 *   branch   bit l of bins[n]: a slot of leaf l has bin n on           64 leaves each
 *   leaf     bit s of bins[n]: slot s has bin n on                     64 slots each
 *
 * so the lowest slot with a bin on takes three words to find, however many spaces there are, and the set
 * of bins that are on anywhere is kept at the root. After each change of a space the bins that went on or
 * off are flipped in its leaf, and further up only where a leaf's word became zero or stopped to be. A
 * node's full word marks what has no vacant slot below it.
 *
 * Worked example. Slots 0 and 70 have bin 9 on: bit 0 of bins[9] in the root; bits 0 and 1 in branch 0; bit
 * 0 in leaf 0, bit 6 in leaf 1. When slot 0 uses its last area of bin 9, leaf 0's word becomes zero
 * and bit 0 goes from branch 0; the root stays as it is.
 *
 * Policy: best fit over all spaces, and of those that fit as well the lowest slot, so that high slots
 * run empty and their chunks can go. The request's own bin, and every bin when alignment matters, may hold
 * nothing that fits: after NR_TRIES spaces in vain comes the bin where every area does.
 */
#include "area/bin.h"

#define NR_TRIES 4
#define FAN_OUT 64u
#define BRANCH_SLOTS (FAN_OUT * FAN_OUT)
#define NR_BRANCHES (PERCPU__SHELF_SLOTS / BRANCH_SLOTS)

_Static_assert(NR_BRANCHES <= FAN_OUT, "the root has a bit for each branch");

struct node {
	uint64_t bins[PERCPU__NR_BINS];
	uint64_t full;
};

struct shelf_leaf {
	struct node node;
	struct percpu__space *spaces[FAN_OUT];
};

/* A branch lies beside its leaves, so that the memory in use grows with the slots. */
struct shelf_branch {
	struct node node;
	struct shelf_leaf leaves[FAN_OUT];
};

struct percpu__shelf_tree {
	struct node root;
	struct percpu__bins on; /* bins whose word in the root is not zero */
	struct shelf_branch branches[];
};

static inline struct shelf_branch *branch_of(const struct percpu__shelf *shelf, uint32_t slot)
{
	return &shelf->tree->branches[slot / BRANCH_SLOTS];
}

static inline struct shelf_leaf *leaf_of(const struct percpu__shelf *shelf, uint32_t slot)
{
	return &branch_of(shelf, slot)->leaves[slot / FAN_OUT % FAN_OUT];
}

static inline uint64_t bit_of(uint32_t i)
{
	return UINT64_C(1) << i % FAN_OUT;
}

/* The bits from i up; none where i is FAN_OUT. */
static inline uint64_t bits_from(uint32_t i)
{
	return i < FAN_OUT ? ~UINT64_C(0) << i : 0;
}

static inline uint32_t lowest(uint64_t bits)
{
	return (uint32_t)__builtin_ctzll(bits);
}

size_t percpu__shelf_bytes(uint32_t capacity)
{
	uint32_t last = capacity - 1;

	return offsetof(struct percpu__shelf_tree, branches) + last / BRANCH_SLOTS * sizeof(struct shelf_branch) +
	       offsetof(struct shelf_branch, leaves) + (last / FAN_OUT % FAN_OUT + 1) * sizeof(struct shelf_leaf);
}

void percpu__shelf_init(struct percpu__shelf *shelf, uint32_t capacity, void *memory)
{
	*shelf = (struct percpu__shelf){ .tree = memory, .capacity = capacity };
}

/* A leaf's word for the bin became zero or stopped to be: the nodes above follow. */
static void flip_above(struct percpu__shelf *shelf, uint32_t slot, unsigned bin)
{
	uint64_t *branch = &branch_of(shelf, slot)->node.bins[bin];
	uint64_t *root = &shelf->tree->root.bins[bin];
	uint64_t was = *branch;

	*branch ^= bit_of(slot / FAN_OUT);
	if (was && *branch)
		return;
	*root ^= bit_of(slot / BRANCH_SLOTS);
	if (*root)
		bins_set(&shelf->tree->on, bin);
	else
		bins_clear(&shelf->tree->on, bin);
}

/* Turns a bin on or off at a slot. */
static inline void set_on(struct percpu__shelf *shelf, struct shelf_leaf *leaf, uint32_t slot, unsigned bin,
			  bool on)
{
	uint64_t was = leaf->node.bins[bin];
	uint64_t is = (was & ~bit_of(slot)) | (uint64_t)on << slot % FAN_OUT;

	leaf->node.bins[bin] = is;
	if (!was != !is)
		flip_above(shelf, slot, bin);
}

static void set_all(struct percpu__shelf *shelf, uint32_t slot, const struct percpu__space *space, bool on)
{
	struct percpu__bins bins = percpu__space_bins(space);

	for (unsigned bin = bins_next(&bins, 0); bin < PERCPU__NR_BINS; bin = bins_next(&bins, bin + 1))
		set_on(shelf, leaf_of(shelf, slot), slot, bin, on);
}

/* A space changed: its slot follows. */
static inline void update(struct percpu__shelf *shelf, struct shelf_leaf *leaf, uint32_t slot,
			  const struct percpu__space *space)
{
	for (unsigned i = 0; i < space->nr_changed; i++) {
		unsigned bin = space->changed[i];

		set_on(shelf, leaf, slot, bin, percpu__space_is_on(space, bin));
	}
}

/* The lowest slot with a bin on that is on at the root. */
static inline uint32_t first_with(const struct percpu__shelf *shelf, unsigned bin)
{
	const struct percpu__shelf_tree *tree = shelf->tree;
	uint32_t b = lowest(tree->root.bins[bin]);
	const struct shelf_branch *branch = &tree->branches[b];
	uint32_t l = lowest(branch->node.bins[bin]);

	return b * BRANCH_SLOTS + l * FAN_OUT + lowest(branch->leaves[l].node.bins[bin]);
}

/* The first slot at or after slot with the bin on. */
static uint32_t next_with(const struct percpu__shelf *shelf, unsigned bin, uint32_t slot)
{
	const struct percpu__shelf_tree *tree = shelf->tree;
	uint32_t b = slot / BRANCH_SLOTS, l = slot / FAN_OUT % FAN_OUT;
	uint64_t bits;

	if (slot >= shelf->end)
		return PERCPU__NO_SLOT;
	bits = leaf_of(shelf, slot)->node.bins[bin] & bits_from(slot % FAN_OUT);
	if (!bits) {
		bits = branch_of(shelf, slot)->node.bins[bin] & bits_from(l + 1);
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

uint32_t percpu__shelf_add(struct percpu__shelf *shelf, struct percpu__space *space)
{
	struct percpu__shelf_tree *tree = shelf->tree;
	struct shelf_branch *branch;
	struct shelf_leaf *leaf;
	uint32_t b, l, slot;

	if (shelf->nr_spaces == shelf->capacity)
		return PERCPU__NO_SLOT;
	b = lowest(~tree->root.full);
	branch = &tree->branches[b];
	l = lowest(~branch->node.full);
	leaf = &branch->leaves[l];
	slot = b * BRANCH_SLOTS + l * FAN_OUT + lowest(~leaf->node.full);

	leaf->spaces[slot % FAN_OUT] = space;
	leaf->node.full |= bit_of(slot);
	if (!~leaf->node.full)
		branch->node.full |= bit_of(l);
	if (!~branch->node.full)
		tree->root.full |= bit_of(b);
	if (slot >= shelf->end)
		shelf->end = slot + 1;
	shelf->nr_spaces++;
	shelf->nr_live += space->nr_live;
	shelf->live_granules += space->live_granules;
	set_all(shelf, slot, space, true);
	return slot;
}

struct percpu__space *percpu__shelf_space(const struct percpu__shelf *shelf, uint32_t slot)
{
	return slot < shelf->end ? leaf_of(shelf, slot)->spaces[slot % FAN_OUT] : NULL;
}

struct percpu__space *percpu__shelf_remove(struct percpu__shelf *shelf, uint32_t slot)
{
	struct percpu__space *space = percpu__shelf_space(shelf, slot);

	if (!space)
		return NULL;
	set_all(shelf, slot, space, false);
	leaf_of(shelf, slot)->spaces[slot % FAN_OUT] = NULL;
	leaf_of(shelf, slot)->node.full &= ~bit_of(slot);
	branch_of(shelf, slot)->node.full &= ~bit_of(slot / FAN_OUT);
	shelf->tree->root.full &= ~bit_of(slot / BRANCH_SLOTS);
	shelf->nr_spaces--;
	shelf->nr_live -= space->nr_live;
	shelf->live_granules -= space->live_granules;
	return space;
}

uint32_t percpu__shelf_next(const struct percpu__shelf *shelf, uint32_t slot)
{
	for (; slot < shelf->end; slot = (slot | (FAN_OUT - 1)) + 1) {
		uint64_t taken = leaf_of(shelf, slot)->node.full & bits_from(slot % FAN_OUT);

		if (taken)
			return (slot & ~(FAN_OUT - 1)) + lowest(taken);
	}
	return PERCPU__NO_SLOT;
}

static inline bool alloc_at(struct percpu__shelf *shelf, uint32_t slot, unsigned bin, uint32_t granules,
			    uint32_t align_granules, uint32_t *offset)
{
	struct shelf_leaf *leaf = leaf_of(shelf, slot);
	struct percpu__space *space = leaf->spaces[slot % FAN_OUT];

	if (!percpu__space_alloc_from(space, bin, granules, align_granules, offset))
		return false;
	update(shelf, leaf, slot, space);
	shelf->nr_live++;
	shelf->live_granules += granules;
	return true;
}

bool percpu__shelf_alloc(struct percpu__shelf *shelf, uint32_t granules, uint32_t align_granules,
			 uint32_t *slot, uint32_t *offset)
{
	const struct percpu__bins *on = &shelf->tree->on;
	unsigned bin = bins_next(on, bin_of(granules));
	int tries = 0;

	if (!granules)
		return false;
	while (bin < PERCPU__NR_BINS) {
		for (uint32_t at = first_with(shelf, bin); at != PERCPU__NO_SLOT; at = next_with(shelf, bin, at + 1)) {
			if (alloc_at(shelf, at, bin, granules, align_granules, offset)) {
				*slot = at;
				return true;
			}
			if (++tries == NR_TRIES)
				break;
		}
		/* In a sure bin the first try succeeds. */
		bin = bins_next(on, tries == NR_TRIES ? bin_sure(granules, align_granules) : bin + 1);
	}
	return false;
}

uint32_t percpu__shelf_claim(struct percpu__shelf *shelf, uint32_t slot, uint32_t at, uint32_t end)
{
	struct shelf_leaf *leaf = leaf_of(shelf, slot);
	struct percpu__space *space = leaf->spaces[slot % FAN_OUT];
	uint32_t nr = 0, taken;

	while ((taken = percpu__space_claim(space, &at, end))) {
		update(shelf, leaf, slot, space);
		shelf->nr_live++;
		shelf->live_granules += taken;
		nr++;
	}
	return nr;
}

uint32_t percpu__shelf_free(struct percpu__shelf *shelf, uint32_t slot, uint32_t offset,
			    struct percpu__range *merged)
{
	struct percpu__space *space;
	struct shelf_leaf *leaf;
	uint32_t size;

	if (slot >= shelf->end)
		return 0;
	leaf = leaf_of(shelf, slot);
	space = leaf->spaces[slot % FAN_OUT];
	if (!space)
		return 0;
	size = percpu__space_free(space, offset, merged);
	if (!size)
		return 0;
	update(shelf, leaf, slot, space);
	shelf->nr_live--;
	shelf->live_granules -= size;
	return size;
}

/* What the tree says of the leaf that holds slot must be what the leaf and its spaces say. */
static bool leaf_is_valid(const struct percpu__shelf *shelf, uint32_t slot)
{
	const struct shelf_leaf *leaf = leaf_of(shelf, slot);
	const struct shelf_branch *branch = branch_of(shelf, slot);
	const struct percpu__shelf_tree *tree = shelf->tree;
	uint64_t bins[PERCPU__NR_BINS] = { 0 };

	for (uint32_t s = 0; s < FAN_OUT; s++) {
		struct percpu__bins on;

		if (!leaf->spaces[s] != !(leaf->node.full & bit_of(s)))
			return false;
		if (!leaf->spaces[s])
			continue;
		if (slot + s >= shelf->end || !percpu__space_is_valid(leaf->spaces[s]))
			return false;
		on = percpu__space_bins(leaf->spaces[s]);
		for (unsigned bin = bins_next(&on, 0); bin < PERCPU__NR_BINS; bin = bins_next(&on, bin + 1))
			bins[bin] |= bit_of(s);
	}
	for (unsigned bin = 0; bin < PERCPU__NR_BINS; bin++) {
		const uint64_t in_branch = branch->node.bins[bin], in_root = tree->root.bins[bin];

		if (leaf->node.bins[bin] != bins[bin] || !bins[bin] != !(in_branch & bit_of(slot / FAN_OUT)) ||
		    !in_branch != !(in_root & bit_of(slot / BRANCH_SLOTS)) ||
		    !in_root != !(tree->on.word[bin / 64] & bit_of(bin)))
			return false;
	}
	return !~leaf->node.full == !!(branch->node.full & bit_of(slot / FAN_OUT)) &&
	       !~branch->node.full == !!(tree->root.full & bit_of(slot / BRANCH_SLOTS));
}

bool percpu__shelf_is_valid(const struct percpu__shelf *shelf)
{
	uint64_t nr_live = 0, live_granules = 0;
	uint32_t nr_spaces = 0;

	for (uint32_t slot = 0; slot < shelf->end; slot += FAN_OUT) {
		if (!leaf_is_valid(shelf, slot))
			return false;
	}
	percpu__shelf_for_each(shelf, slot) {
		const struct percpu__space *space = percpu__shelf_space(shelf, slot);

		nr_spaces++;
		nr_live += space->nr_live;
		live_granules += space->live_granules;
	}
	return nr_spaces == shelf->nr_spaces && nr_live == shelf->nr_live && live_granules == shelf->live_granules;
}
