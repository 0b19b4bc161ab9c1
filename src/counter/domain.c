/* SPDX-License-Identifier: MIT */
/*
 * Owns sums by domain. One pass over the copies adds each to the sum of its domain, which a table
 * gives for each CPU.
 */
#include <errno.h>
#include <string.h>

#include "counter/counter.h"
#include "ops/ops.h"
#include "percpu/percpu.h"
#include "topology/topology.h"

_Static_assert((int)PERCPU__LEVEL_CORE == (int)PERCPU_LEVEL_CORE &&
		       (int)PERCPU__LEVEL_L3 == (int)PERCPU_LEVEL_L3 &&
		       (int)PERCPU__LEVEL_NODE == (int)PERCPU_LEVEL_NODE &&
		       (int)PERCPU__LEVEL_PACKAGE == (int)PERCPU_LEVEL_PACKAGE,
	       "the public levels");

static int domains_at(enum percpu_level level, const struct percpu__domains **domains)
{
	return percpu__domains_at((enum percpu__level)level, percpu_nr_cpus(), domains);
}

/* Returns: the domain of a copy; the fallback copy is in the last one. */
static unsigned domain_of(const struct percpu__domains *domains, unsigned copy)
{
	return copy < percpu_nr_cpus() ? domains->of_cpu[copy] : domains->nr - 1;
}

int percpu_nr_domains(enum percpu_level level)
{
	const struct percpu__domains *domains;
	const int error = domains_at(level, &domains);

	return error ? error : (int)domains->nr;
}

int percpu_domain_of(enum percpu_level level, unsigned copy)
{
	const struct percpu__domains *domains;
	const int error = domains_at(level, &domains);

	if (error)
		return error;
	return copy < percpu_nr_copies() ? (int)domain_of(domains, copy) : -EINVAL;
}

int percpu_domain_number(enum percpu_level level, unsigned domain)
{
	const struct percpu__domains *domains;
	const int error = domains_at(level, &domains);

	if (error)
		return error;
	if (domain >= domains->nr)
		return -EINVAL;
	return domain < domains->nr - 1 ? domains->number[domain] : -ENOENT;
}

/* Finds the domains. Returns: -ERANGE if there are more than nr, or as percpu_nr_domains. */
static int domains_within(enum percpu_level level, size_t nr,
			  const struct percpu__domains **domains)
{
	const int error = domains_at(level, domains);

	if (error)
		return error;
	return nr < (*domains)->nr ? -ERANGE : 0;
}

#define ADD(type)                                                                                  \
	{                                                                                          \
		typedef type integer __attribute__((may_alias));                                   \
		*(integer *)sum += __atomic_load_n((const integer *)copy, __ATOMIC_RELAXED);       \
		break;                                                                             \
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

int percpu_sum_integer_by(const void *p, size_t bytes, enum percpu_level level, void *sums,
			  size_t nr)
{
	const struct percpu__domains *domains;
	const int error = domains_within(level, nr, &domains);
	struct percpu__present present;

	if (error)
		return error;
	present = percpu__present_of(p);
	memset(sums, 0, domains->nr * bytes);
	for (unsigned i = 0; i < percpu_nr_copies(); i++)
		if (percpu__is_present(present, i))
			add_integer((char *)sums + domain_of(domains, i) * bytes,
				    (const void *)percpu__copy_at((uintptr_t)p, i), bytes);
	return 0;
}

int percpu_sum_u64_by(uint64_t *dst, const uint64_t __percpu *p, size_t n, enum percpu_level level,
		      size_t nr)
{
	percpu__add_fn *const add = percpu__best_add();
	const struct percpu__domains *domains;
	const int error = domains_within(level, nr, &domains);
	size_t nr_in_page;

	if (error)
		return error;
	memset(dst, 0, domains->nr * n * sizeof(*dst));
	for (size_t from = 0; from < n; from += nr_in_page) {
		const uint64_t *counters = (const uint64_t *)(uintptr_t)p + from;
		const struct percpu__present present = percpu__present_of(counters);

		nr_in_page = percpu__sum_to_page_end(counters, n - from);
		for (unsigned i = 0; i < percpu_nr_copies(); i++)
			if (percpu__is_present(present, i))
				add(dst + domain_of(domains, i) * n + from,
				    (const void *)percpu__copy_at((uintptr_t)counters, i),
				    nr_in_page, 1);
	}
	return 0;
}
