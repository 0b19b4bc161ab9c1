/* SPDX-License-Identifier: MIT */
/*
 * The ledger: the ranges, files and pointers that a static copy of the library leaves behind when
 * dlclose unloads it, for the next copy.
 */
#ifndef PERCPU_PLATFORM_LEDGER_H
#define PERCPU_PLATFORM_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * RANGE: start and bytes. POINTERS: start and bytes, which keep their targets from being leaks.
 * FILE: number and identity.
 */
enum percpu__ledger_kind { PERCPU__LEDGER_RANGE, PERCPU__LEDGER_POINTERS, PERCPU__LEDGER_FILE };

#ifdef PERCPU_SHARED_OBJECT
static inline bool percpu__may_be_unloaded(void)
{
	return false;
}
static inline void percpu__ledger_add(enum percpu__ledger_kind kind, uint64_t first,
				      uint64_t second, uint64_t third)
{
}
static inline void percpu__ledger_strike(enum percpu__ledger_kind kind, uint64_t first,
					 uint64_t second)
{
}
#else
/* Returns: true if the code lies in a module that dlclose may unload. */
bool percpu__may_be_unloaded(void);

/*
 * Add an entry; strike an entry, or a part of a range. Both do nothing in code that cannot be
 * unloaded.
 * Context: take no lock.
 */
void percpu__ledger_add(enum percpu__ledger_kind kind, uint64_t first, uint64_t second,
			uint64_t third);
void percpu__ledger_strike(enum percpu__ledger_kind kind, uint64_t first, uint64_t second);
#endif

#endif
