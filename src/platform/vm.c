/* SPDX-License-Identifier: MIT */
/*
 * Owns ranges of addresses: reserved without memory, committed by touch, purged, released. A range
 * always consists of whole pages.
 */
#include <stdlib.h>

#include "platform/platform.h"
#include "platform/sys.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; not every libc has it yet */
#endif

#define MAPPING_LIMIT_DEFAULT 65530

/*
 * It can fail only for want of mappings (a split): then the range stays reserved,
 * its memory given back.
 */
static void give_back(void *start, size_t bytes)
{
	if (sys_munmap(start, bytes) < 0 && sys_mprotect(start, bytes, PROT_NONE) == 0)
		sys_madvise(start, bytes, MADV_DONTNEED);
}

void *percpu__reserve(size_t bytes, size_t align, size_t skew)
{
	const size_t slack = align - percpu__page_bytes();
	uintptr_t got, start;
	intptr_t mapped;

	if (bytes > SIZE_MAX - slack)
		return NULL;
	mapped = sys_mmap(NULL, bytes + slack, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mapped < 0)
		return NULL;
	got = (uintptr_t)mapped;
	start = ((got + skew + align - 1) & ~(align - 1)) - skew;
	if (start < got)
		start += align;
	if (start > got)
		give_back((void *)got, start - got);
	if (got + slack > start)
		give_back((void *)(start + bytes), got + slack - start);
	percpu__unlock_reserved((void *)start, bytes);
	sys_madvise((void *)start, bytes, MADV_DONTDUMP); /* gcore would write it all, a TiB of it if need be */
	percpu__ledger_add(PERCPU__LEDGER_RANGE, start, bytes, 0);
	return (void *)start;
}

void percpu__release(void *start, size_t bytes)
{
	percpu__ledger_strike(PERCPU__LEDGER_RANGE, (uintptr_t)start, bytes);
	give_back(start, bytes);
}

int percpu__commit(void *start, size_t bytes)
{
	int result;

	percpu__lock_touched(start, bytes); /* first: a locked mapping that becomes writable is filled */
	result = sys_mprotect(start, bytes, PROT_READ | PROT_WRITE);
	if (result == 0)
		sys_madvise(start, bytes, MADV_DODUMP); /* see percpu__reserve */
	return result;
}

int percpu__make_readable(void *start, size_t bytes)
{
	return sys_mprotect(start, bytes, PROT_READ);
}

void *percpu__map(size_t bytes)
{
	const intptr_t mapped = sys_mmap(NULL, bytes, PROT_NONE,
					 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	void *start = (void *)mapped;

	if (mapped < 0)
		return NULL;
	percpu__unlock_reserved(start, bytes);
	percpu__lock_touched(start, bytes);
	/*
	 * Sparse, and merged with its neighbours by the kernel, which may give huge pages to all
	 * who refuse none.
	 */
	sys_madvise(start, bytes, MADV_NOHUGEPAGE);
	if (sys_mprotect(start, bytes, PROT_READ | PROT_WRITE) < 0) {
		give_back(start, bytes);
		start = NULL;
	} else {
		percpu__ledger_add(PERCPU__LEDGER_RANGE, (uintptr_t)start, bytes, 0);
	}
	return start;
}

int percpu__purge(void *start, size_t bytes)
{
	return sys_madvise(start, bytes, MADV_DONTNEED);
}

int percpu__populate(void *start, size_t bytes)
{
	long result = sys_madvise(start, bytes, MADV_POPULATE_WRITE);

	if (result != -EINVAL)
		return result;
	/* Linux before 5.14: by hand; the range is fresh, so that a zero more changes nothing. */
	for (size_t at = 0; at < bytes; at += percpu__page_bytes())
		((volatile char *)start)[at] = 0;
	return 0;
}

size_t percpu__mapping_limit(void)
{
	char text[32];
	unsigned long limit;

	if (percpu__read_file("/proc/sys/vm/max_map_count", text, sizeof(text)) <= 0)
		return MAPPING_LIMIT_DEFAULT;
	limit = strtoul(text, NULL, 10);
	return limit ? limit : MAPPING_LIMIT_DEFAULT;
}
