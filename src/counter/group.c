/* SPDX-License-Identifier: MIT */
/*
 * Owns groups of fields that are read consistently: the slow path and the functions of
 * <percpu/group.h>.
 *
 * In a copy with one writer, a critical section commits. In a shared copy, a writer first claims
 * the copy by a bit of its word; one store then commits and releases it. The writer may be
 * interrupted in between, for long, or by a signal handler that adds to the same group, so no
 * writer waits for a claim. One that finds a copy claimed takes a spare copy, and maps a page of
 * spare copies if all are claimed. If there is no memory for a page, it tries the copies of other
 * CPUs, provided that these are shared as well, and at last adds to the loose fields, which take
 * any number of writers. Readers sum copies, spare copies and loose fields; a claim does not hinder
 * them, because the valid slot stays as it is.
 */
#include <errno.h>
#include <string.h>

#include "counter/counter.h"
#include "ops/ops.h"
#include "percpu/percpu.h"
#include "platform/platform.h"

#define CLAIMED (UINT64_C(1) << 63)
#define INVALID ((void *)(UINT64_C(1) << 55)) /* no program maps it, nor its copies */

#define GROUP_WORDS 16u /* of a spare copy: two cache lines, so that no two share one */
#define NR_SPARE 31u
#define LOOSE_TRIES 1000u
struct page {
	struct page *next;
	uint64_t reserved[15];
	uint64_t group[NR_SPARE][GROUP_WORDS];
};
_Static_assert(sizeof(struct page) <= 4096, "fits in the smallest page");
_Static_assert(sizeof(struct percpu__group4) <= GROUP_WORDS * sizeof(uint64_t), "holds any group");

static size_t group_bytes(unsigned nr)
{
	return nr > 2 ? sizeof(struct percpu__group4) : sizeof(struct percpu__group2);
}

/* Returns: the step in which the word counts, the bytes from one slot to the other. */
static uint64_t step_of(unsigned nr)
{
	return nr > 2 ? sizeof(((struct percpu__group4 *)0)->slot[0])
		      : sizeof(((struct percpu__group2 *)0)->slot[0]);
}

static uint64_t *slot_of(uint64_t *group, uint64_t word, unsigned nr)
{
	return group + 1 + (word & step_of(nr)) / sizeof(*group);
}

/* ---- init and fini ---- */

static void set_pointer(struct percpu_group *group, void *p, unsigned nr_fields)
{
	memset(group, 0, sizeof(*group));
	for (unsigned i = 0; i <= PERCPU_GROUP_MAX_FIELDS; i++)
		group->of[i] = i == nr_fields ? p : INVALID;
	group->nr_fields = nr_fields;
}

int percpu_group_init_layout(unsigned layout, struct percpu_group *group, unsigned nr_fields)
{
	void __percpu *p;

	if (layout != PERCPU_GROUP_LAYOUT)
		return -ENOTSUP;
	set_pointer(group, INVALID, 0);
	if (nr_fields < 2 || nr_fields > PERCPU_GROUP_MAX_FIELDS)
		return -EINVAL;
	p = percpu_alloc(group_bytes(nr_fields), 64);
	if (!p)
		return -ENOMEM;
	set_pointer(group, percpu__untyped(p), nr_fields);
	return 0;
}

void percpu_group_fini(struct percpu_group *group)
{
	struct page *page = group->spare, *next;

	if (group->nr_fields)
		percpu_free((void __percpu *)(uintptr_t)group->of[group->nr_fields]);
	for (; page; page = next) {
		next = page->next;
		percpu__release(page, percpu__page_bytes());
	}
	set_pointer(group, INVALID, 0);
}

/* ---- adding to shared copies ---- */

/*
 * Returns: false if the copy is claimed. The acquire pairs with the release of try_claimed_add, and
 * the fence before the stores pairs with read_group.
 */
static bool try_claimed_add(uint64_t *group, const uint64_t *v, unsigned nr)
{
	uint64_t word = __atomic_load_n(group, __ATOMIC_RELAXED), *from, *to;

	if ((word & CLAIMED) || !__atomic_compare_exchange_n(group, &word, word | CLAIMED, false,
							     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	from = slot_of(group, word, nr);
	to = slot_of(group, word + step_of(nr), nr);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (unsigned i = 0; i < nr; i++)
		__atomic_store_n(&to[i], from[i] + v[i], __ATOMIC_RELAXED);
	__atomic_store_n(group, word + step_of(nr), __ATOMIC_RELEASE);
	return true;
}

static struct page *first_page(const struct percpu_group *group)
{
	/* pairs with grow */
	return __atomic_load_n((struct page *const *)&group->spare, __ATOMIC_ACQUIRE);
}

/* Adds a page of spare copies. Returns: false if there is no memory. */
static bool grow(struct percpu_group *group)
{
	struct page *page = percpu__map(percpu__page_bytes());

	if (!page)
		return false;
	page->next = first_page(group);
	/* pairs with first_page */
	while (!__atomic_compare_exchange_n((struct page **)&group->spare, &page->next, page, true,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	return true;
}

static bool try_spare_add(struct percpu_group *group, const uint64_t *v, unsigned nr)
{
	for (struct page *page = first_page(group); page; page = page->next)
		for (unsigned i = 0; i < NR_SPARE; i++)
			if (try_claimed_add(page->group[i], v, nr))
				return true;
	return false;
}

/* Tries every copy. Only in atomic mode are all copies shared. */
static bool try_others_add(struct percpu_group *group, const uint64_t *v, unsigned nr)
{
	if (percpu_mode() != PERCPU_MODE_ATOMIC)
		return false;
	percpu_for_each_copy(i)
		if (try_claimed_add((uint64_t *)percpu__copy_at((uintptr_t)group->of[nr], i), v,
				    nr))
			return true;
	return false;
}

/* Always works, no matter which additions were interrupted. Pairs with add_loose. */
static void loose_add(struct percpu_group *group, const uint64_t *v, unsigned nr)
{
	__atomic_fetch_add(&group->loose_begun, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (unsigned i = 0; i < nr; i++)
		__atomic_fetch_add(&group->loose[i], v[i], __ATOMIC_RELAXED);
	__atomic_fetch_add(&group->loose_ended, 1, __ATOMIC_RELEASE);
}

void percpu_group_add_slow(struct percpu_group *group, unsigned nr, uint64_t v0, uint64_t v1,
			   uint64_t v2, uint64_t v3)
{
	const uint64_t v[PERCPU_GROUP_MAX_FIELDS] = { v0, v1, v2, v3 };

	percpu__start();
	if (percpu__unlikely(nr != group->nr_fields))
		percpu__fatal("percpu_group_add",
			      &(struct percpu__subject){ .pointer = group, .value = { nr, group->nr_fields } },
			      PERCPU__FAULT_FIELD_COUNT);
	if (percpu__try_group_add(group->of[nr], nr, v0, v1, v2, v3))
		return;
	while (!try_claimed_add(percpu__shared_copy(group->of[nr]), v, nr) &&
	       !try_spare_add(group, v, nr)) {
		if (grow(group))
			continue;
		if (!try_others_add(group, v, nr))
			loose_add(group, v, nr);
		return;
	}
}

/* ---- reading ---- */

/* The acquires pair with try_claimed_add, and with the ordered stores of the critical sections. */
static void read_group(uint64_t *group, uint64_t *fields, unsigned nr)
{
	uint64_t word, again;

	do {
		const uint64_t *slot;

		word = __atomic_load_n(group, __ATOMIC_ACQUIRE);
		slot = slot_of(group, word, nr);
		for (unsigned i = 0; i < nr; i++)
			fields[i] = __atomic_load_n(&slot[i], __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		again = __atomic_load_n(group, __ATOMIC_RELAXED);
	} while ((word ^ again) & ~CLAIMED);
}

static void add_group(uint64_t *group, uint64_t *fields, unsigned nr)
{
	uint64_t here[PERCPU_GROUP_MAX_FIELDS];

	read_group(group, here, nr);
	for (unsigned i = 0; i < nr; i++)
		fields[i] += here[i];
}

/*
 * The loose fields are consistent if no addition was in progress while they were read. An addition
 * that the reader itself interrupted does not continue, so the number of tries is limited; the
 * fields may then differ by the additions in progress. Pairs with loose_add.
 */
static void add_loose(const struct percpu_group *group, uint64_t *fields, unsigned nr)
{
	uint64_t here[PERCPU_GROUP_MAX_FIELDS];

	for (unsigned tries = 0; tries < LOOSE_TRIES; tries++) {
		const uint64_t ended = __atomic_load_n(&group->loose_ended, __ATOMIC_ACQUIRE);

		for (unsigned i = 0; i < nr; i++)
			here[i] = __atomic_load_n(&group->loose[i], __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&group->loose_begun, __ATOMIC_RELAXED) == ended)
			break;
	}
	for (unsigned i = 0; i < nr; i++)
		fields[i] += here[i];
}

void percpu_group_read_copy(const struct percpu_group *group, unsigned copy, uint64_t *fields)
{
	const unsigned nr = group->nr_fields;

	read_group((uint64_t *)percpu__copy_at((uintptr_t)group->of[nr], copy), fields, nr);
}

void percpu_group_read(const struct percpu_group *group, uint64_t *fields)
{
	const unsigned nr = group->nr_fields;
	const struct percpu__present present = percpu__present_of(group->of[nr]);

	memset(fields, 0, nr * sizeof(*fields));
	percpu_for_each_copy(i)
		if (percpu__is_present(present, i))
			add_group((uint64_t *)percpu__copy_at((uintptr_t)group->of[nr], i), fields,
				  nr);
	for (struct page *page = first_page(group); page; page = page->next)
		for (unsigned i = 0; i < NR_SPARE; i++)
			add_group(page->group[i], fields, nr);
	add_loose(group, fields, nr);
}
