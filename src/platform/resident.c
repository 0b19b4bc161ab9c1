/* SPDX-License-Identifier: MIT */
/*
 * Owns the question which pages of a range are in memory: by mincore(2), and by /proc/self/pagemap,
 * which also tells pages of the process's own from the zero page.
 */
#include "platform/platform.h"
#include "platform/sys.h"

size_t percpu__resident_bytes(const void *start, size_t bytes)
{
	const size_t page = percpu__page_bytes();
	size_t resident = 0;

	for (size_t at = 0; at < bytes;) {
		unsigned char present[512];
		size_t pages = (bytes - at + page - 1) / page;

		if (pages > sizeof(present))
			pages = sizeof(present);
		if (sys_mincore((char *)start + at, pages * page, present) < 0)
			break;
		for (size_t i = 0; i < pages; i++)
			resident += present[i] & 1 ? page : 0;
		at += pages * page;
	}
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
 * Before Linux 6.7: an entry a page, which does not tell the zero page from others. Kept out of
 * line: its page of stack is not for those who do not need it.
 */
#define ENTRY_PRESENT (UINT64_C(1) << 63)
#define ENTRY_SWAPPED (UINT64_C(1) << 62)

static __attribute__((noinline)) int find_by_entries(int fd, uintptr_t *start, uintptr_t end,
						     struct percpu__extent *extents,
						     unsigned capacity)
{
	const size_t page = percpu__page_bytes();
	uint64_t entries[512];
	unsigned nr = 0;

	while (*start < end) {
		size_t wanted = (end - *start) / page;
		long got;

		if (wanted > sizeof(entries) / sizeof(entries[0]))
			wanted = sizeof(entries) / sizeof(entries[0]);
		got = sys_pread(fd, entries, wanted * sizeof(entries[0]),
				*start / page * sizeof(entries[0]));
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

int percpu__find_pages(enum percpu__pages which, uintptr_t *start, uintptr_t end,
		       struct percpu__extent *extents, unsigned capacity)
{
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
	long nr = fd < 0 ? fd : sys_ioctl(fd, SCAN, &arg);

	if (fd >= 0 && nr < 0) {
		nr = find_by_entries(fd, start, end, extents, capacity);
		percpu__close(fd);
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
