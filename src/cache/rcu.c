/* SPDX-License-Identifier: MIT */
/* Owns what is known of liburcu: the table of functions that a flavour is. Nothing of it is linked. */
#include "cache/cache.h"

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
