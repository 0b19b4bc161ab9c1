/* SPDX-License-Identifier: MIT */
/*
 * Owns what a process pays that locks its memory (mlockall): what it touches, and not what is only reserved. The kernel
 * locks and fills each new mapping as a whole where MCL_FUTURE is on. So memory is mapped without access, which cannot be
 * filled; if that was locked, it is let go, and what becomes accessible is locked page by page, as it is touched.
 *
 * A later mlockall fills whatever is accessible then; that is known only when the next part becomes accessible.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/platform.h"

#ifndef MADV_COLD
#define MADV_COLD 20 /* Linux 5.4 */
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

static bool are_new_ones_locked; /* the last mapping was */

/* Whether the mapping is locked: such pages cannot go cold. Nothing is changed: nobody has touched them. */
static bool is_locked(void *start)
{
	return madvise(start, percpu__page_bytes(), MADV_COLD) < 0 && errno == EINVAL && madvise(start, 0, MADV_COLD) == 0;
}

void percpu__unlock_reserved(void *start, size_t bytes)
{
	const int saved_errno = errno;
	const bool locked = is_locked(start);

	if (locked)
		munlock(start, bytes);
	if (locked != __atomic_load_n(&are_new_ones_locked, __ATOMIC_RELAXED))
		__atomic_store_n(&are_new_ones_locked, locked, __ATOMIC_RELAXED);
	errno = saved_errno;
}

bool percpu__new_ones_are_locked(void)
{
	return __atomic_load_n(&are_new_ones_locked, __ATOMIC_RELAXED);
}

void percpu__lock_touched(void *start, size_t bytes)
{
	const int saved_errno = errno;

	/* Refused, by a limit or an old kernel: what it would be to have locked all of it is worse than to have it unlocked. */
	if ((percpu__new_ones_are_locked() || is_locked(start)) && syscall(SYS_mlock2, start, bytes, MLOCK_ONFAULT) < 0)
		munlock(start, bytes);
	errno = saved_errno;
}
