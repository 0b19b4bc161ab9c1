/* SPDX-License-Identifier: MIT */
/*
 * Owns what is known of liburcu: the table of functions that a flavour is. Nothing of it is linked.
 *
 * liburcu has a thread that calls back. A fork leaves it behind, unless the program has registered liburcu's handlers, of which
 * a flavour tells nothing. So a process does not ask for calls if one that it was forked from did.
 */
#include "cache/cache.h"

static uint64_t called_in; /* generation of the first process of this line that asked for calls; 0: none did */

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

void percpu__rcu_call(const struct rcu_flavor_struct *flavor, void *storage, void (*release)(void *storage))
{
	uint64_t none = 0;

	if (percpu__unlikely(!__atomic_load_n(&called_in, __ATOMIC_RELAXED)))
		__atomic_compare_exchange_n(&called_in, &none, percpu__generation(), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
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

void percpu__rcu_call(const struct rcu_flavor_struct *flavor, void *storage, void (*release)(void *storage))
{
}
#endif
