/* SPDX-License-Identifier: MIT */
/* Calls of a liburcu flavour. rcu.c is the only file that knows its layout. */
#ifndef PERCPU_CACHE_RCU_H
#define PERCPU_CACHE_RCU_H

#include "cache/cache.h"

/* Returns: true if the library was built with liburcu. */
bool percpu__rcu_known(void);

/*
 * Waits for a grace period; for all callbacks so far. Context: no lock held, outside read-side
 * critical sections.
 */
void percpu__rcu_wait(const struct rcu_flavor_struct *flavor);
void percpu__rcu_drain(const struct rcu_flavor_struct *flavor);

/*
 * Returns: true if callbacks will run; false in a child of a process that registered some, as far
 * as is known.
 */
bool percpu__rcu_can_call(void);

/* Calls release after a grace period. storage: 16 bytes that stay until then. */
void percpu__rcu_call(const struct rcu_flavor_struct *flavor, void *storage,
		      void (*release)(void *storage));

#endif
