/* SPDX-License-Identifier: MIT */
/*
 * The table of allocations that leaks and tools need: trace.c owns it, debug.c decides which
 * entries it gets. Every function takes the table's lock, except percpu__traces_find_freed.
 */
#ifndef PERCPU_TRACE_H
#define PERCPU_TRACE_H

#include "percpu/percpu.h"

struct percpu__traced {
	uintptr_t pointer; /* 0: vacant */
	const void *caller;
	size_t bytes;
	struct percpu__trace *trace;
	uint64_t freed_at; /* number of the free; 0: live */
};

/*
 * percpu__traces_insert - inserts an entry, replacing that of the same pointer.
 * Returns: a trace that the caller releases: that of the entry replaced, or if there is no memory
 * the new entry's own.
 */
struct percpu__trace *percpu__traces_insert(struct percpu__traced entry);

/*
 * percpu__traces_free - marks the entry of pointer as freed if keep is true; removes it otherwise.
 * Returns: the trace of a marked entry; NULL otherwise.
 */
struct percpu__trace *percpu__traces_free(uintptr_t pointer, bool keep);

/*
 * percpu__traces_take - takes the whole table out of use.
 * Returns: its *nr entries, which the caller unmaps; NULL if there are none.
 */
struct percpu__traced *percpu__traces_take(size_t *nr);

/*
 * percpu__traces_take_trace - takes the trace out of the entry at an index. *trace is NULL if it
 * has none.
 * Returns: false if the index is beyond the table.
 */
bool percpu__traces_take_trace(size_t at, struct percpu__trace **trace);

/*
 * percpu__traces_find_freed - finds the entry with a copy that contains the address; if there are
 * several, the one freed last. *copy is set to the number of the copy.
 * Context: takes no lock, because the thread that reports an error may hold it.
 * Returns: NULL if no entry contains the address, or if the one found is live.
 */
const struct percpu__traced *percpu__traces_find_freed(uintptr_t address, uintptr_t *copy);

void percpu__traces_lock_for_fork(void);
void percpu__traces_unlock_after_fork(void);

#endif
