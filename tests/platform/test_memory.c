/* SPDX-License-Identifier: MIT */
/* Address ranges: reserved, committed, purged, looked at. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "harness/harness.h"
#include "platform/platform.h"

#define UNIT ((size_t)256 << 10)

static size_t page;

static void setup(void)
{
	page = percpu__page_bytes();
	errno = 77;
}

/* Mappings of this process, from start to end where they overlap. */
static unsigned mappings_in(uintptr_t start, uintptr_t end)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned nr = 0;
	uintptr_t from, to;
	char line[4096];

	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof(line), maps))
		nr += sscanf(line, "%lx-%lx", &from, &to) == 2 && from < end && to > start;
	fclose(maps);
	return nr;
}

static sigjmp_buf after_fault;

static void on_fault(int signal)
{
	siglongjmp(after_fault, 1);
}

static bool faults(volatile char *at)
{
	const struct sigaction action = { .sa_handler = on_fault };
	const int error = errno; /* ThreadSanitizer calls handlers with one of its own */
	struct sigaction old;
	bool faulted = false;

	sigaction(SIGSEGV, &action, &old);
	if (sigsetjmp(after_fault, 1))
		faulted = true;
	else
		*at;
	sigaction(SIGSEGV, &old, NULL);
	errno = error;
	return faulted;
}

START_TEST(reservations_are_where_they_should_be)
{
	static const struct {
		size_t bytes, align, skew;
	} rows[] = {
		{ UNIT, UNIT, 0 },
		{ 3 * UNIT, UNIT, 0 },
		{ 5 * UNIT, (size_t)2 << 20, 0 },
		{ 5 * UNIT, (size_t)2 << 20, UNIT },
		{ 4096 * 3, (size_t)2 << 20, UNIT },
		{ (size_t)1 << 30, (size_t)1 << 30, UNIT },
	};

	setup();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int again = 0; again < 20; again++) {
			const uintptr_t start = (uintptr_t)percpu__reserve(rows[i].bytes, rows[i].align, rows[i].skew);

			ck_assert_uint_ne(start, 0);
			ck_assert_uint_eq((start + rows[i].skew) % rows[i].align, 0);
			ck_assert(faults((char *)start) && faults((char *)start + rows[i].bytes - 1));
			ck_assert_uint_eq(percpu__resident_bytes((void *)start, rows[i].bytes), 0);
			percpu__release((void *)start, rows[i].bytes);
			ck_assert_uint_eq(mappings_in(start, start + rows[i].bytes), 0);
		}
	ck_assert_int_eq(errno, 77);
}
END_TEST

/* The slack that alignment took is given back: many reservations take no more than they asked for. */
START_TEST(reservations_keep_no_slack)
{
	enum { NR = 64 };
	void *starts[NR];
	size_t before, after;
	unsigned long pages;
	FILE *statm;

	setup();
	statm = fopen("/proc/self/statm", "r");
	ck_assert_int_eq(fscanf(statm, "%lu", &pages), 1);
	before = pages * page;
	for (int i = 0; i < NR; i++)
		ck_assert_ptr_nonnull(starts[i] = percpu__reserve(UNIT, (size_t)64 << 20, 0));
	fclose(statm);
	statm = fopen("/proc/self/statm", "r");
	ck_assert_int_eq(fscanf(statm, "%lu", &pages), 1);
	fclose(statm);
	after = pages * page;
	ck_assert_uint_le(after - before, NR * UNIT + (1 << 20));
	for (int i = 0; i < NR; i++)
		percpu__release(starts[i], UNIT);
}
END_TEST

START_TEST(what_cannot_be_reserved_is_null)
{
	setup();
	ck_assert_ptr_null(percpu__reserve((size_t)1 << 60, UNIT, 0));
	ck_assert_ptr_null(percpu__reserve(SIZE_MAX - page, UNIT, 0));
	ck_assert_ptr_null(percpu__reserve(SIZE_MAX / 2 + 1, UNIT, 0));
	ck_assert_ptr_null(percpu__map((size_t)1 << 60));
	ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(commit_makes_a_part_usable)
{
	char *start;

	setup();
	start = percpu__reserve(4 * UNIT, UNIT, 0);
	ck_assert_int_eq(percpu__commit(start + UNIT, UNIT), 0);
	ck_assert(faults(start + UNIT - 1));
	ck_assert(faults(start + 2 * UNIT));
	ck_assert_uint_eq(percpu__resident_bytes(start, 4 * UNIT), 0);
	for (size_t i = 0; i < UNIT; i += page)
		ck_assert_int_eq(start[UNIT + i], 0);
	start[UNIT + 5] = 1;
	percpu__release(start, 4 * UNIT);
	ck_assert(faults(start + UNIT));
	ck_assert_int_eq(percpu__commit(start, UNIT), -ENOMEM);
	ck_assert_int_eq(errno, 77);
}
END_TEST

/* Whether a core file would have the page. */
static bool is_dumped(const char *at)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	bool here = false, dumped = true;
	uintptr_t from, to;
	char line[4096];

	ck_assert_ptr_nonnull(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = (uintptr_t)at - from < to - from;
		else if (here && !strncmp(line, "VmFlags:", 8))
			dumped = !strstr(line, " dd");
	}
	fclose(smaps);
	return dumped;
}

START_TEST(a_core_has_what_is_committed)
{
	char *start;

	setup();
	start = percpu__reserve(4 * UNIT, UNIT, 0);
	ck_assert_int_eq(percpu__commit(start + UNIT, UNIT), 0);
	ck_assert_int_eq(percpu__make_readable(start + 2 * UNIT, UNIT), 0);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(is_dumped(start + i * UNIT), i == 1);
	percpu__release(start, 4 * UNIT);
}
END_TEST

START_TEST(purged_pages_read_zero_and_are_gone)
{
	char *start;

	setup();
	start = percpu__map(8 * page);
	percpu__advise_huge(start, 8 * page, false);
	memset(start, 1, 8 * page);
	ck_assert_uint_eq(percpu__resident_bytes(start, 8 * page), 8 * page);
	ck_assert_int_eq(percpu__purge(start + 2 * page, 3 * page), 0);
	ck_assert_uint_eq(percpu__resident_bytes(start, 8 * page), 5 * page);
	for (size_t i = 0; i < 8 * page; i++)
		ck_assert_int_eq(start[i], i < 2 * page || i >= 5 * page);
	ck_assert_int_eq(syscall(SYS_mlock, start, page), 0); /* by number: sanitizers make libc's do nothing */
	ck_assert_int_eq(percpu__purge(start, page), -EINVAL);
	ck_assert_int_eq(start[0], 1);
	percpu__release(start, 8 * page);
	ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(populate_touches_every_page)
{
	char *start;

	setup();
	start = percpu__map(8 * page);
	percpu__advise_huge(start, 8 * page, false);
	ck_assert_int_eq(percpu__populate(start + page, 5 * page), 0);
	ck_assert_uint_eq(percpu__resident_bytes(start, 8 * page), 5 * page);
	for (size_t i = 0; i < 8 * page; i++)
		ck_assert_int_eq(start[i], 0);
	percpu__release(start, 8 * page);
	ck_assert_int_eq(percpu__populate(start, page), -ENOMEM);
	ck_assert_int_eq(errno, 77);
}
END_TEST

/* Pages in the order: own, zero, none, own, zero, none, ... */
static char *striped(size_t nr_pages)
{
	char *start = percpu__map(nr_pages * page);

	percpu__advise_huge(start, nr_pages * page, false);
	for (size_t i = 0; i < nr_pages; i++) {
		if (i % 3 == 0)
			start[i * page] = 1;
		else if (i % 3 == 1)
			*(volatile char *)(start + i * page);
	}
	return start;
}

static size_t found(enum percpu__pages which, char *start, size_t bytes, unsigned capacity, size_t run_pages)
{
	uintptr_t at = (uintptr_t)start, end = at + bytes;
	struct percpu__extent extents[64];
	size_t nr_bytes = 0;

	while (at < end) {
		const uintptr_t asked = at;
		const int nr = percpu__find_pages(which, &at, end, extents, capacity);

		ck_assert_int_ge(nr, 0);
		ck_assert_uint_le(nr, capacity);
		ck_assert_uint_gt(at, asked);
		for (int i = 0; i < nr; i++) {
			ck_assert_uint_ge(extents[i].start, asked);
			ck_assert_uint_le(extents[i].end, at);
			ck_assert_uint_eq((extents[i].start - (uintptr_t)start) / page % 3, 0);
			if (capacity > 1)
				ck_assert_uint_eq(extents[i].end - extents[i].start, run_pages * page);
			nr_bytes += extents[i].end - extents[i].start;
		}
	}
	ck_assert_uint_eq(at, end);
	return nr_bytes;
}

/* Memory that the mapping of the address has; the zero page is nobody's. */
static size_t held_bytes(const char *at)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	bool here = false;
	size_t held_kib = SIZE_MAX, kib;
	uintptr_t from, to;
	char line[4096];

	ck_assert_ptr_nonnull(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = (uintptr_t)at - from < to - from;
		else if (here && sscanf(line, "Rss: %zu kB", &kib) == 1)
			held_kib = kib;
	}
	fclose(smaps);
	ck_assert_uint_ne(held_kib, SIZE_MAX);
	return held_kib << 10;
}

/* As Linux counts it, which is another way than the library's. */
START_TEST(whether_there_is_a_zero_page_is_found_out)
{
	const size_t nr_pages = 64;
	char *start;
	size_t held;

	setup();
	start = percpu__reserve((nr_pages + 2) * page, page, 0); /* a mapping of its own, with neighbours that are not alike */
	ck_assert_int_eq(percpu__commit(start + page, nr_pages * page), 0);
	percpu__advise_huge(start + page, nr_pages * page, false);
	for (size_t i = 0; i < nr_pages; i++)
		*(volatile char *)(start + (1 + i) * page);
	held = held_bytes(start + page);
	ck_assert_msg(held == 0 || held == nr_pages * page, "%zu KiB of %zu pages", held >> 10, nr_pages);
	for (int again = 0; again < 3; again++)
		ck_assert_int_eq(percpu__has_zero_page(), held == 0);
	percpu__release(start, (nr_pages + 2) * page);
}
END_TEST

START_TEST(pages_of_its_own_are_told_from_the_zero_page)
{
	const size_t nr_pages = 300;
	struct utsname system;
	size_t nr_own; /* in three pages */
	char *start;

	setup();
	/* Linux before 6.7 does not tell, and takes the zero page for one's own. */
	ck_assert_int_eq(uname(&system), 0);
	nr_own = strverscmp(system.release, "6.7") < 0 || !percpu__has_zero_page() ? 2 : 1;
	start = striped(nr_pages);
	for (unsigned capacity = 2; capacity <= 64; capacity += 31) {
		ck_assert_uint_eq(found(PERCPU__PAGES_OWN, start, nr_pages * page, capacity, nr_own), nr_own * 100 * page);
		ck_assert_uint_eq(found(PERCPU__PAGES_MAPPED, start, nr_pages * page, capacity, 2), 200 * page);
	}
	percpu__release(start, nr_pages * page);
	ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(binding_to_no_node_is_an_error)
{
	void *start;

	setup();
	start = percpu__map(page);
	ck_assert_int_lt(percpu__bind(start, page, 1000), 0);
	ck_assert_int_eq(percpu__bind(start, page, UINT32_MAX), -EINVAL);
	ck_assert_int_lt(percpu__bind((char *)start + 1, page, 0), 0);
	percpu__release(start, page);
	ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(a_process_may_have_some_mappings)
{
	setup();
	ck_assert_uint_ge(percpu__mapping_limit(), 1024);
	ck_assert_int_eq(errno, 77);
}
END_TEST

TEST_MAIN("platform: memory", 60, reservations_are_where_they_should_be, reservations_keep_no_slack,
	  what_cannot_be_reserved_is_null, commit_makes_a_part_usable, a_core_has_what_is_committed,
	  purged_pages_read_zero_and_are_gone, populate_touches_every_page, whether_there_is_a_zero_page_is_found_out,
	  pages_of_its_own_are_told_from_the_zero_page, binding_to_no_node_is_an_error, a_process_may_have_some_mappings)
