/* SPDX-License-Identifier: MIT */
/*
 * Owns locked memory (mlockall): a process pays for the pages that it touches, not for reserved
 * addresses. With MCL_FUTURE the kernel locks and fills each new mapping as a whole. Therefore
 * memory is mapped without access, which cannot be filled; if the mapping was locked, it is
 * unlocked, and a part that becomes accessible is locked on fault.
 *
 * A later mlockall fills every accessible page. That is noticed when the
 * next part becomes accessible.
 */
#include "platform/platform.h"
#include "platform/sys.h"

#ifndef MADV_COLD
#define MADV_COLD 20 /* Linux 5.4 */
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

static bool are_new_ones_locked; /* the last mapping was */

/*
 * True if the mapping is locked: such pages cannot be made cold. Nothing changes, since
 * no page was touched.
 */
static bool is_locked(void *start)
{
	return sys_madvise(start, percpu__page_bytes(), MADV_COLD) == -EINVAL &&
	       sys_madvise(start, 0, MADV_COLD) == 0;
}

void percpu__unlock_reserved(void *start, size_t bytes)
{
	const bool locked = is_locked(start);

	if (locked)
		sys_munlock(start, bytes);
	if (locked != __atomic_load_n(&are_new_ones_locked, __ATOMIC_RELAXED))
		__atomic_store_n(&are_new_ones_locked, locked, __ATOMIC_RELAXED);
}

bool percpu__new_ones_are_locked(void)
{
	return __atomic_load_n(&are_new_ones_locked, __ATOMIC_RELAXED);
}

void percpu__lock_touched(void *start, size_t bytes)
{
	/*
	 * On failure (a limit, an old kernel) unlocked memory is better than a whole range that is
	 * locked and filled.
	 */
	if ((percpu__new_ones_are_locked() || is_locked(start)) &&
	    sys_mlock2(start, bytes, MLOCK_ONFAULT) < 0)
		sys_munlock(start, bytes);
}
