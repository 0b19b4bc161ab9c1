/* SPDX-License-Identifier: MIT */
/*
 * Owns the question what a look at memory that nobody wrote costs. Most kernels map one page of
 * zeroes, which all share, and make a page at the first write. Some give a page at once: guests of
 * s390, and some sandboxes.
 */
#include "platform/platform.h"
#include "platform/sys.h"

#define TRIES 4u /* pages; a fault of something else does not decide */

static long nr_faults(void)
{
	struct rusage usage;

	return sys_getrusage(RUSAGE_THREAD, &usage) < 0 ? 0 : usage.ru_minflt;
}

/* A write after a read is a fault of its own only where the read did not make the page. */
static bool find_zero_page(void)
{
	const size_t page = percpu__page_bytes();
	volatile char *const start = percpu__map(TRIES * page);
	long before;

	if (!start)
		return false;
	for (unsigned i = 0; i < TRIES; i++)
		start[i * page];
	before = nr_faults();
	for (unsigned i = 0; i < TRIES; i++)
		start[i * page] = 1;
	before = nr_faults() - before;
	percpu__release((void *)start, TRIES * page);
	return before >= TRIES;
}

bool percpu__has_zero_page(void)
{
	static signed char known; /* 0: not yet; every writer writes the same */
	signed char answer = __atomic_load_n(&known, __ATOMIC_RELAXED);

	if (!answer) {
		answer = find_zero_page() ? 1 : -1;
		__atomic_store_n(&known, answer, __ATOMIC_RELAXED);
	}
	return answer > 0;
}
