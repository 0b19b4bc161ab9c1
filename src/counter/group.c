/* SPDX-License-Identifier: MIT */
/*
 * Owns sums by what CPUs share. Copy after copy is added to the sums of its group: the map of groups is read along
 * with the copies, and nothing is gone through twice.
 */
#include <errno.h>
#include <string.h>

#include "counter/counter.h"
#include "ops/ops.h"
#include "percpu/percpu.h"
#include "topology/topology.h"

_Static_assert((int)PERCPU__LEVEL_CORE == (int)PERCPU_LEVEL_CORE && (int)PERCPU__LEVEL_L3 == (int)PERCPU_LEVEL_L3 &&
	       (int)PERCPU__LEVEL_NODE == (int)PERCPU_LEVEL_NODE && (int)PERCPU__LEVEL_PACKAGE == (int)PERCPU_LEVEL_PACKAGE,
	       "the public levels");

static int groups_at(enum percpu_level level, const struct percpu__groups **groups)
{
	return percpu__groups_at((enum percpu__level)level, percpu_nr_cpus(), groups);
}

/* The foreign copy is in the last. */
static unsigned group_of(const struct percpu__groups *groups, unsigned copy)
{
	return copy < percpu_nr_cpus() ? groups->of_cpu[copy] : groups->nr - 1;
}

int percpu_nr_groups(enum percpu_level level)
{
	const struct percpu__groups *groups;
	const int error = groups_at(level, &groups);

	return error ? error : (int)groups->nr;
}

int percpu_group_of(enum percpu_level level, unsigned copy)
{
	const struct percpu__groups *groups;
	const int error = groups_at(level, &groups);

	if (error)
		return error;
	return copy < percpu_nr_copies() ? (int)group_of(groups, copy) : -EINVAL;
}

int percpu_group_number(enum percpu_level level, unsigned group)
{
	const struct percpu__groups *groups;
	const int error = groups_at(level, &groups);

	if (error)
		return error;
	if (group >= groups->nr)
		return -EINVAL;
	return group < groups->nr - 1 ? groups->number[group] : -ENOENT;
}

/* The groups, and room for their sums. */
static int groups_within(enum percpu_level level, size_t nr, const struct percpu__groups **groups)
{
	const int error = groups_at(level, groups);

	if (error)
		return error;
	return nr < (*groups)->nr ? -ERANGE : 0;
}

#define ADD(type)                                                                                            \
	{                                                                                                    \
		typedef type integer __attribute__((may_alias));                                             \
		*(integer *)sum += __atomic_load_n((const integer *)copy, __ATOMIC_RELAXED);                 \
		break;                                                                                       \
	}

static void add_integer(void *sum, const void *copy, size_t bytes)
{
	switch (bytes) {
	case 1:
		ADD(uint8_t)
	case 2:
		ADD(uint16_t)
	case 4:
		ADD(uint32_t)
	default:
		ADD(uint64_t)
	}
}

int percpu_sum_integer_by(const void *p, size_t bytes, enum percpu_level level, void *sums, size_t nr)
{
	const struct percpu__groups *groups;
	const int error = groups_within(level, nr, &groups);
	struct percpu__present present;

	if (error)
		return error;
	present = percpu__present_of(p);
	memset(sums, 0, groups->nr * bytes);
	for (unsigned i = 0; i < percpu_nr_copies(); i++)
		if (percpu__is_present(present, i))
			add_integer((char *)sums + group_of(groups, i) * bytes,
				    (const void *)percpu__copy_at((uintptr_t)p, i), bytes);
	return 0;
}

int percpu_sum_u64_by(uint64_t *dst, const uint64_t __percpu *p, size_t n, enum percpu_level level, size_t nr)
{
	percpu__add_fn *const add = percpu__best_add();
	const struct percpu__groups *groups;
	const int error = groups_within(level, nr, &groups);
	size_t nr_in_page;

	if (error)
		return error;
	memset(dst, 0, groups->nr * n * sizeof(*dst));
	for (size_t from = 0; from < n; from += nr_in_page) {
		const uint64_t *counters = (const uint64_t *)(uintptr_t)p + from;
		const struct percpu__present present = percpu__present_of(counters);

		nr_in_page = percpu__sum_to_page_end(counters, n - from);
		for (unsigned i = 0; i < percpu_nr_copies(); i++)
			if (percpu__is_present(present, i))
				add(dst + group_of(groups, i) * n + from,
				    (const void *)percpu__copy_at((uintptr_t)counters, i), nr_in_page, 1);
	}
	return 0;
}
