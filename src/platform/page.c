/* SPDX-License-Identifier: MIT */
/* Owns the size of pages, for all files that deal in pages. */
#include "platform/platform.h"
#include "platform/sys.h"

size_t percpu__page_bytes(void)
{
	static size_t bytes; /* every writer writes the same */

	if (!__atomic_load_n(&bytes, __ATOMIC_RELAXED))
		__atomic_store_n(&bytes, (size_t)sys_sysconf(_SC_PAGESIZE), __ATOMIC_RELAXED);
	return bytes;
}
