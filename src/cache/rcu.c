/* SPDX-License-Identifier: MIT */
/*
 * Owns the use of liburcu: a flavour is a table of functions. The library is not linked to liburcu.
 *
 * Callbacks run in a thread of liburcu, which does not exist in a child, unless the program has
 * registered liburcu's fork handlers, which a flavour does not tell. So a process registers no
 * callbacks if one of its ancestors did.
 */
#include "cache/rcu.h"

static uint64_t called_in; /* generation of the first ancestor that registered callbacks; 0: none */

bool percpu__rcu_can_call(void)
{
	const uint64_t generation = __atomic_load_n(&called_in, __ATOMIC_RELAXED);

	return !generation || generation == percpu__generation();
}

#ifdef HAVE_LIBURCU
#include <urcu/call-rcu.h>
#include <urcu/flavor.h>

_Static_assert(sizeof(struct rcu_head) <= 16, "the storage");

bool percpu__rcu_known(void)
{
	return true;
}

void percpu__rcu_wait(const struct rcu_flavor_struct *flavor)
{
	flavor->update_synchronize_rcu();
}

void percpu__rcu_drain(const struct rcu_flavor_struct *flavor)
{
	flavor->barrier();
}

void percpu__rcu_call(const struct rcu_flavor_struct *flavor, void *storage,
		      void (*release)(void *storage))
{
	uint64_t none = 0;

	if (percpu__unlikely(!__atomic_load_n(&called_in, __ATOMIC_RELAXED)))
		__atomic_compare_exchange_n(&called_in, &none, percpu__generation(), false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	flavor->update_call_rcu(storage, (void (*)(struct rcu_head *))(uintptr_t)release);
}
#else
bool percpu__rcu_known(void)
{
	return false;
}

void percpu__rcu_wait(const struct rcu_flavor_struct *flavor)
{
}

void percpu__rcu_drain(const struct rcu_flavor_struct *flavor)
{
}

void percpu__rcu_call(const struct rcu_flavor_struct *flavor, void *storage,
		      void (*release)(void *storage))
{
}
#endif
