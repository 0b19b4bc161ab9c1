/* SPDX-License-Identifier: MIT */
/*
 * The layer of per-CPU memory. A file calls only files further down this table, apart from the
 * functions of a pool's backing (struct percpu__backing), which lower files call by pointer.
 *
 *	file			owns				what guards it
 *	version.c		the version as a string		constant
 *	alloc.c			the public alloc and free,	no state
 *				validation of pointers
 *	stats.c			statistics, percpu_trim		no state
 *	static.c		static per-CPU variables of	a hint, relaxed atomic
 *				modules
 *	create.c		creation and destruction of	registry lock
 *				pools, the default pool
 *	fork.c			the fork handlers		all locks, for the forking thread
 *	attachments.c, .h	the area of each module's	a lock of its own (rank STATIC)
 *				variables
 *	area_cache.c, .h	the freed areas that each CPU	the CPU's critical sections; start,
 *				keeps				stop and drain: default pool's lock
 *	trim.c			idle memory: its age, giving	pool lock; the clock that all pools
 *				it back				share is relaxed atomic
 *	registry.c		the list of pools		registry lock
 *	owner.c			the process that may change	pool lock, and a compare-and-swap in
 *				a published pool		the file
 *	shared.c, file.h	backing by a memfd, and the	pool lock, in the owner process
 *				layout of the file
 *	live_map.c		live areas, as the file		pool lock, in the owner process
 *				tells them to the next owner
 *	pool.c			chunks under one policy and	pool lock
 *				limit, their areas
 *	private.c		backing by private memory	no state
 *	chunk.c			one reservation: units,		pool lock; the budget of mappings is
 *				placement, metadata		relaxed atomic
 *	debug.c			options check and leaks,	written once, atomic
 *				sanitizers, Valgrind
 *	trace.c, .h		the allocations that leaks,	a lock of its own (rank DEBUG)
 *				sanitizers, Valgrind report
 *	copies.c		zeroing, poisoning, verifying	exclusive use of the area
 *				an area in every copy
 *	present.c		which copies have pages		atomics; to forget: pool lock
 *	pagemap.c		from an address to its chunk	atomics; to enter or remove a chunk:
 *								its pool's lock
 *	gone.c			memory to unmap once no lookup	atomics
 *				can read it
 *
 * Declarations are in chunk.h (chunk.c, pagemap.c, gone.c), copies.h (copies.c, present.c), pools.h
 * (pool.c, trim.c, registry.c, create.c), backing.h (private.c, shared.c, live_map.c, owner.c), the
 * headers named above, and here (debug.c, fork.c, static.c).
 *
 * platform/lock.h has the order of locks. Neither the registry lock nor a pool's lock is held while
 * copies are zeroed, poisoned or verified.
 */
#ifndef PERCPU_PERCPU_LAYER_H
#define PERCPU_PERCPU_LAYER_H

#include "percpu/backing.h"
#include "percpu/chunk.h"
#include "percpu/copies.h"
#include "percpu/pools.h"

/* ---- debug.c ---- */

/* Returns: true if an option or a tool watches allocations, so that the hooks below are called. */
bool percpu__debug_on(void);

/*
 * The hooks. Context of all but percpu__debug_chunk: no lock is held.
 *
 * percpu__debug_allocated - after an allocation. caller: return address of the public function.
 * percpu__debug_freed - before a free.
 * percpu__debug_reused - before an area that was used is zeroed for its next allocation.
 * percpu__debug_chunk - after a chunk was made (is_there), or before one is destroyed.
 */
void percpu__debug_allocated(struct percpu__area area, const void *caller);
void percpu__debug_freed(struct percpu__area area);
void percpu__debug_reused(struct percpu__area area);
void percpu__debug_chunk(const struct percpu__chunk *chunk, bool is_there);

/* ---- fork.c ---- */

/* Registers the fork handlers once. A constructor calls this, and so does each maker of a pool. */
void percpu__fork_init(void);

/* ---- static.c ---- */

/* Frees the variables of modules that were unloaded. Context: no lock is held. */
void percpu__static_collect(void);

void percpu__static_lock_for_fork(void);
void percpu__static_unlock_after_fork(void);

#endif
