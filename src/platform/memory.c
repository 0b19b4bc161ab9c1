/* SPDX-License-Identifier: MIT */
/*
 * Owns address ranges: reserved without memory, committed by touch, placed, purged, released. A range
 * always means whole pages. errno is the caller's: functions return -errno and leave it alone.
 */
#include <errno.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/platform.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; not every libc has it yet */
#endif

#define MAPPING_LIMIT_DEFAULT 65530

/* The result of a system call without its mark on errno. */
static long keep_errno(long result, int saved_errno)
{
	if (result < 0)
		result = -errno;
	errno = saved_errno;
	return result;
}

size_t percpu__page_bytes(void)
{
	static size_t bytes; /* every writer writes the same */

	if (!__atomic_load_n(&bytes, __ATOMIC_RELAXED))
		__atomic_store_n(&bytes, (size_t)sysconf(_SC_PAGESIZE), __ATOMIC_RELAXED);
	return bytes;
}

/* It can fail only for want of mappings (a split): then the range stays reserved, its memory given back. */
static void give_back(void *start, size_t bytes)
{
	if (munmap(start, bytes) < 0 && mprotect(start, bytes, PROT_NONE) == 0)
		madvise(start, bytes, MADV_DONTNEED);
}

void *percpu__reserve(size_t bytes, size_t align, size_t skew)
{
	const int saved_errno = errno;
	const size_t slack = align - percpu__page_bytes();
	uintptr_t got, start;

	if (bytes > SIZE_MAX - slack)
		return NULL;
	got = (uintptr_t)mmap(NULL, bytes + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if ((void *)got == MAP_FAILED) {
		errno = saved_errno;
		return NULL;
	}
	start = ((got + skew + align - 1) & ~(align - 1)) - skew;
	if (start < got)
		start += align;
	if (start > got)
		give_back((void *)got, start - got);
	if (got + slack > start)
		give_back((void *)(start + bytes), got + slack - start);
	percpu__unlock_reserved((void *)start, bytes);
	madvise((void *)start, bytes, MADV_DONTDUMP); /* gcore would write it all, a TiB of it if need be */
	percpu__ledger_add(PERCPU__LEDGER_RANGE, start, bytes, 0);
	errno = saved_errno;
	return (void *)start;
}

void percpu__release(void *start, size_t bytes)
{
	const int saved_errno = errno;

	percpu__ledger_strike(PERCPU__LEDGER_RANGE, (uintptr_t)start, bytes);
	give_back(start, bytes);
	errno = saved_errno;
}

int percpu__commit(void *start, size_t bytes)
{
	const int saved_errno = errno;
	int result;

	percpu__lock_touched(start, bytes); /* first: a locked mapping that becomes writable is filled */
	result = keep_errno(mprotect(start, bytes, PROT_READ | PROT_WRITE), saved_errno);
	if (result == 0)
		madvise(start, bytes, MADV_DODUMP); /* see percpu__reserve */
	errno = saved_errno;
	return result;
}

int percpu__make_readable(void *start, size_t bytes)
{
	const int saved_errno = errno;

	return keep_errno(mprotect(start, bytes, PROT_READ), saved_errno);
}

void *percpu__map(size_t bytes)
{
	const int saved_errno = errno;
	void *start = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (start == MAP_FAILED) {
		errno = saved_errno;
		return NULL;
	}
	percpu__unlock_reserved(start, bytes);
	percpu__lock_touched(start, bytes);
	/* Sparse, and merged with its neighbours by the kernel, which may give huge pages to all who refuse none. */
	madvise(start, bytes, MADV_NOHUGEPAGE);
	if (mprotect(start, bytes, PROT_READ | PROT_WRITE) < 0) {
		give_back(start, bytes);
		start = NULL;
	} else {
		percpu__ledger_add(PERCPU__LEDGER_RANGE, (uintptr_t)start, bytes, 0);
	}
	errno = saved_errno;
	return start;
}

int percpu__purge(void *start, size_t bytes)
{
	const int saved_errno = errno;

	return keep_errno(madvise(start, bytes, MADV_DONTNEED), saved_errno);
}

int percpu__populate(void *start, size_t bytes)
{
	const int saved_errno = errno;
	long result = keep_errno(madvise(start, bytes, MADV_POPULATE_WRITE), saved_errno);

	if (result != -EINVAL)
		return result;
	/* Linux before 5.14: by hand; the range is fresh, so that a zero more changes nothing. */
	for (size_t at = 0; at < bytes; at += percpu__page_bytes())
		((volatile char *)start)[at] = 0;
	return 0;
}

#define HUGE_SYSFS "/sys/kernel/mm/transparent_hugepage/"

bool percpu__huge_pages_exist(void)
{
	const int saved_errno = errno;
	char text[64];
	bool refused = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1;

	errno = saved_errno;
	/* Since Linux 6.8 each size has a switch of its own, which may refer to the general one. */
	if (percpu__read_file(HUGE_SYSFS "hugepages-2048kB/enabled", text, sizeof(text)) > 0) {
		if (!strstr(text, "[inherit]"))
			return !refused && !strstr(text, "[never]");
	} else if (percpu__read_file(HUGE_SYSFS "hpage_pmd_size", text, sizeof(text)) <= 0 ||
		   strtoul(text, NULL, 10) != PERCPU__HUGE_BYTES) {
		return false;
	}
	return !refused && percpu__read_file(HUGE_SYSFS "enabled", text, sizeof(text)) > 0 && !strstr(text, "[never]");
}

int percpu__advise_huge(void *start, size_t bytes, bool huge)
{
	const int saved_errno = errno;

	return keep_errno(madvise(start, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE), saved_errno);
}

int percpu__bind(void *start, size_t bytes, unsigned node)
{
	const int saved_errno = errno;
	const unsigned word_bits = 8 * sizeof(unsigned long);
	unsigned long nodes[64] = { 0 };

	if (node >= 64 * word_bits)
		return -EINVAL;
	nodes[node / word_bits] = 1ul << node % word_bits;
	/* The kernel counts one bit less than it is told. */
	return keep_errno(syscall(SYS_mbind, start, bytes, MPOL_PREFERRED, nodes, 64 * word_bits + 1, 0), saved_errno);
}

/*
 * Some kernels, Linux 6.1 among them, do not say where pages are that NUMA balancing is watching. To this
 * question a look is an access, which may bring a page from swap: so only for those in memory.
 */
static int node_by_access(void *page)
{
	const int saved_errno = errno;
	int node;
	long result;

	if (!percpu__resident_bytes(page, percpu__page_bytes()))
		return -ENOENT;
	result = keep_errno(syscall(SYS_get_mempolicy, &node, NULL, 0, page, MPOL_F_NODE | MPOL_F_ADDR), saved_errno);
	return result < 0 ? (int)result : node;
}

ssize_t percpu__bytes_elsewhere(uintptr_t start, uintptr_t end, unsigned node)
{
	const size_t page = percpu__page_bytes();
	const int saved_errno = errno;
	size_t elsewhere = 0;

	while (start < end) {
		void *pages[128];
		int where[128];
		unsigned long nr = 0;
		long result;

		for (; nr < 128 && start < end; start += page)
			pages[nr++] = (void *)start;
		/* Without nodes to move them to it only looks. */
		result = keep_errno(syscall(SYS_move_pages, 0, nr, pages, NULL, where, 0), saved_errno);
		if (result < 0)
			return result;
		while (nr--) {
			if (where[nr] == -ENOENT) {
				where[nr] = node_by_access(pages[nr]);
				if (where[nr] < 0 && where[nr] != -ENOENT)
					return where[nr];
			}
			elsewhere += where[nr] >= 0 && (unsigned)where[nr] != node ? page : 0;
		}
	}
	return elsewhere;
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

size_t percpu__resident_bytes(const void *start, size_t bytes)
{
	const size_t page = percpu__page_bytes();
	const int saved_errno = errno;
	size_t resident = 0;

	for (size_t at = 0; at < bytes;) {
		unsigned char present[512];
		size_t pages = (bytes - at + page - 1) / page;

		if (pages > sizeof(present))
			pages = sizeof(present);
		if (mincore((char *)start + at, pages * page, present) < 0)
			break;
		for (size_t i = 0; i < pages; i++)
			resident += present[i] & 1 ? page : 0;
		at += pages * page;
	}
	errno = saved_errno;
	return resident;
}

/* PAGEMAP_SCAN of Linux 6.7 and later, as its ABI has it; linux/fs.h may be older. */
struct scan_region {
	uint64_t start, end, categories;
};
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN _IOWR('f', 16, struct scan_arg)
#define PAGE_PRESENT (1u << 3)
#define PAGE_SWAPPED (1u << 4)
#define PAGE_ZERO (1u << 5)
_Static_assert(sizeof(struct scan_arg) == 96, "the kernel's ABI");

/*
 * Before Linux 6.7: an entry a page, which does not tell the zero page from others. Kept out of line: its
 * page of stack is not for those who do not need it.
 */
#define ENTRY_PRESENT (UINT64_C(1) << 63)
#define ENTRY_SWAPPED (UINT64_C(1) << 62)

static __attribute__((noinline)) int find_by_entries(int fd, uintptr_t *start, uintptr_t end,
						     struct percpu__extent *extents, unsigned capacity)
{
	const size_t page = percpu__page_bytes();
	uint64_t entries[512];
	unsigned nr = 0;

	while (*start < end) {
		size_t wanted = (end - *start) / page;
		long got;

		if (wanted > sizeof(entries) / sizeof(entries[0]))
			wanted = sizeof(entries) / sizeof(entries[0]);
		got = syscall(SYS_pread64, fd, entries, wanted * sizeof(entries[0]), *start / page * sizeof(entries[0]));
		if (got < (long)sizeof(entries[0]))
			return -EIO;
		for (size_t i = 0; i < got / sizeof(entries[0]); i++, *start += page) {
			if (!(entries[i] & (ENTRY_PRESENT | ENTRY_SWAPPED)))
				continue;
			if (nr && extents[nr - 1].end == *start) {
				extents[nr - 1].end += page;
				continue;
			}
			if (nr == capacity)
				return nr;
			extents[nr++] = (struct percpu__extent){ *start, *start + page };
		}
	}
	return nr;
}

int percpu__find_pages(enum percpu__pages which, uintptr_t *start, uintptr_t end, struct percpu__extent *extents,
		       unsigned capacity)
{
	const int saved_errno = errno;
	struct scan_region regions[64];
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = *start,
		.end = end,
		.vec = (uintptr_t)regions,
		.vec_len = capacity < 64 ? capacity : 64,
		.category_inverted = which == PERCPU__PAGES_OWN ? PAGE_ZERO : 0, /* not the zero page ... */
		.category_mask = which == PERCPU__PAGES_OWN ? PAGE_ZERO : 0,     /* ... as a condition */
		.category_anyof_mask = PAGE_PRESENT | PAGE_SWAPPED,
		.return_mask = PAGE_PRESENT,
	};
	/* Opened anew each time: after a fork an older descriptor would show the parent. */
	int fd = percpu__open("/proc/self/pagemap");
	long nr = fd < 0 ? fd : keep_errno(ioctl(fd, SCAN, &arg), saved_errno);

	if (fd >= 0 && nr < 0) {
		nr = find_by_entries(fd, start, end, extents, capacity);
		percpu__close(fd);
		errno = saved_errno;
		return nr;
	}
	percpu__close(fd);
	if (nr < 0)
		return nr;
	percpu__kernel_wrote(regions, nr * sizeof(regions[0]));
	for (long i = 0; i < nr; i++)
		extents[i] = (struct percpu__extent){ regions[i].start, regions[i].end };
	*start = arg.walk_end;
	return nr;
}
