/* SPDX-License-Identifier: MIT */
/*
 * Owns the start: N and the mode, decided once per process by whichever operation comes first, be
 * it before main, in a signal handler, or in several threads at once. So it takes no lock and no
 * memory: every starter works out a decision, one of them wins a compare-and-swap, and all publish
 * the winner's, storing the same values.
 *
 *	decided = nr_copies << 8 | enum percpu__rseq_state		0: not yet
 */
#include "ops/ops.h"
#include "platform/platform.h"
#include "topology/topology.h"

#include <percpu/alloc.h>

struct percpu_abi percpu_abi;

static uint64_t decided;

static enum percpu__rseq_state state_of(uint64_t decision)
{
	return decision & 0xff;
}

static enum percpu__rseq_state choose(const struct percpu__options *options)
{
	ptrdiff_t offset;
	enum percpu__rseq_state found;

	if (options->atomic)
		return PERCPU__RSEQ_REFUSED;
	if (!PERCPU__HAS_SECTIONS)
		return PERCPU__RSEQ_NO_SECTIONS;
	found = percpu__rseq_find(&offset);
	return found == PERCPU__RSEQ_USABLE ? percpu__rseq_judge(offset, options->rseq) : found;
}

static uint64_t decide(void)
{
	const struct percpu__options options = percpu__options(false);
	const unsigned nr_cpus =
		options.cpus ? options.cpus : percpu__nr_possible_cpus(PERCPU__SYSFS);

	return (uint64_t)(nr_cpus + 1) << 8 | choose(&options);
}

static void publish(uint64_t decision)
{
	const uint32_t nr_copies = decision >> 8;
	ptrdiff_t offset;

	if (percpu__rseq_is_usable(state_of(decision))) {
		percpu__rseq_find(&offset);
		__atomic_store_n(&percpu_abi.rseq_offset, offset, __ATOMIC_RELAXED);
		__atomic_store_n(&percpu_abi.cpu_limit, nr_copies - 1, __ATOMIC_RELAXED);
	}
	/* Last: who sees it sees the rest. Pairs with percpu__start. */
	__atomic_store_n(&percpu_abi.nr_copies, nr_copies, __ATOMIC_RELEASE);
}

void percpu_start(void)
{
	uint64_t decision = __atomic_load_n(&decided, __ATOMIC_ACQUIRE);

	if (!decision) {
		const uint64_t mine = decide();

		if (__atomic_compare_exchange_n(&decided, &decision, mine, false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE)) {
			percpu__options(true); /* the winner alone reports what it did not understand */
			decision = mine;
		}
	}
	publish(decision);
}

static uint64_t decision(void)
{
	percpu__start();
	return __atomic_load_n(&decided, __ATOMIC_ACQUIRE);
}

unsigned percpu_nr_copies(void)
{
	percpu__start();
	return percpu_abi.nr_copies;
}

unsigned percpu_nr_cpus(void)
{
	return percpu_nr_copies() - 1;
}

enum percpu_mode percpu_mode(void)
{
	return percpu__rseq_is_usable(state_of(decision())) ? PERCPU_MODE_RSEQ : PERCPU_MODE_ATOMIC;
}

const char *percpu_mode_reason(void)
{
	return percpu__rseq_reason(state_of(decision()));
}
