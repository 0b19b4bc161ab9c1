/* SPDX-License-Identifier: MIT */
/* Locks with ranks: lock.c. */
#ifndef PERCPU_PLATFORM_LOCK_H
#define PERCPU_PLATFORM_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Synchronization rules. A thread that holds a lock may take only locks of a higher rank, that is,
 * locks further down this table; lock_above asserts it under --enable-checks. Two locks of one rank
 * nest only through percpu__lock_nested, in an order that the caller defines.
 *
 *	rank      lock                          protects
 *	CACHES    static, cache/registry.c      the list of all caches, their states, vacant handles
 *	CACHE     cache->lock                   starting and stopping magazines and remote batches
 *	CPU_CACHE cpu_cache->lock               one CPU's depot and slab lists; pushes of its batches
 *	ARENA     static, cache/arena.c         the arena's ranges and the lists of their descriptors
 *	STATIC    static, percpu/attachments.c  the static variables that modules attached
 *	REGISTRY  static, percpu/registry.c     the list of pools; creation of the default pool
 *	POOL      pool->lock                    a pool's chunks, area maps, chunk index and counts; for
 *	                                        the default pool also start and stop of the area cache
 *	OWN_POOL  own_pool.lock                 as POOL, for the pool that holds the area cache itself;
 *	                                        it is taken under the default pool's lock
 *	DEBUG     static, percpu/trace.c        the table of allocations and their traces; innermost
 *
 * No lock is held while the library calls malloc, the dynamic loader or a constructor of objects,
 * because these may take locks of their own and may call the library back. test_locks checks this
 * (tests/faults/test_locks.c); doc/design.md lists the exceptions. rseq critical sections take no
 * lock; stopping them takes the lock named above and then a fence.
 *
 * A fork takes all locks, lowest rank first, and releases them in parent and child. Handlers that
 * run in between may use the library in the forking thread: see percpu__lock_for_fork.
 */
enum percpu__rank {
	PERCPU__RANK_CACHES = 1,
	PERCPU__RANK_CACHE,
	PERCPU__RANK_CPU_CACHE,
	PERCPU__RANK_ARENA,
	PERCPU__RANK_STATIC,
	PERCPU__RANK_REGISTRY,
	PERCPU__RANK_POOL,
	PERCPU__RANK_OWN_POOL,
	PERCPU__RANK_DEBUG
};

struct percpu__lock {
	pthread_mutex_t mutex;
	enum percpu__rank rank;
	unsigned nr_passed; /* locks by the forking thread that are not unlocked yet; written by the holder */
	uintptr_t forker;   /* the thread that holds the lock for a fork, or 0; written by the holder */
};
#define PERCPU__LOCK_INIT(lock_rank) { .mutex = PTHREAD_MUTEX_INITIALIZER, .rank = lock_rank }

void percpu__lock_init(struct percpu__lock *lock, enum percpu__rank rank);

/* Returns: true if it had to wait for another thread. */
bool percpu__lock(struct percpu__lock *lock);
void percpu__unlock(struct percpu__lock *lock);

/* As percpu__lock, while other locks of the rank are held. */
bool percpu__lock_nested(struct percpu__lock *lock);

/*
 * percpu__lock_for_fork - as percpu__lock, but the caller may lock and unlock it again meanwhile,
 * as every function of the library does, and finds the data between two changes.
 * percpu__lock_made_in_fork - as percpu__lock_for_fork, for a new lock that other threads are about
 * to find, if the caller holds the other lock for a fork.
 * percpu__unlock_after_fork - in either process, by the same thread; does nothing unless the lock
 * is held for a fork.
 * percpu__is_locked_for_fork - returns true if the caller holds the lock for a fork.
 */
void percpu__lock_for_fork(struct percpu__lock *lock);
void percpu__lock_made_in_fork(struct percpu__lock *lock, const struct percpu__lock *other);
void percpu__unlock_after_fork(struct percpu__lock *lock);
bool percpu__is_locked_for_fork(const struct percpu__lock *lock);

#endif
