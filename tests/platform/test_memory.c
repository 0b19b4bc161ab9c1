/* SPDX-License-Identifier: MIT */
/* Address ranges: reserving, committing, purging and inspecting them. */
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

/* The number of mappings of this process that overlap [start, end). */
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
	const int error = errno; /* ThreadSanitizer changes it when it calls a handler */
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

START_TEST(reservations_are_aligned_inaccessible_and_empty)
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
			const uintptr_t start = (uintptr_t)percpu__reserve(
				rows[i].bytes, rows[i].align, rows[i].skew);

			ck_assert_uint_ne(start, 0);
			ck_assert_uint_eq((start + rows[i].skew) % rows[i].align, 0);
			ck_assert(faults((char *)start));
			ck_assert(faults((char *)start + rows[i].bytes - 1));
			ck_assert_uint_eq(percpu__resident_bytes((void *)start, rows[i].bytes), 0);
			percpu__release((void *)start, rows[i].bytes);
			ck_assert_uint_eq(mappings_in(start, start + rows[i].bytes), 0);
		}
	ck_assert_int_eq(errno, 77);
}
END_TEST

/*
 * The address space that alignment wastes is unmapped: reservations take only the bytes asked for.
 */
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

START_TEST(impossible_reservations_return_null)
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

/* Returns: true if a core file would include the page. */
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

START_TEST(a_core_includes_committed_memory_only)
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

START_TEST(purged_pages_read_zero_and_take_no_memory)
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
	/* A raw call, because sanitizers turn mlock into a no-op. */
	ck_assert_int_eq(syscall(SYS_mlock, start, page), 0);
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

/* Maps pages in the order: written, shared zero page, untouched, written, ... */
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

static size_t found(enum percpu__pages which, char *start, size_t bytes, unsigned capacity,
		    size_t run_pages)
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
				ck_assert_uint_eq(extents[i].end - extents[i].start,
						  run_pages * page);
			nr_bytes += extents[i].end - extents[i].start;
		}
	}
	ck_assert_uint_eq(at, end);
	return nr_bytes;
}

/* The resident bytes of the mapping at an address; the shared zero page does not count. */
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

/* Compares with the Rss of smaps; the library uses another method. */
START_TEST(the_shared_zero_page_is_detected)
{
	const size_t nr_pages = 64;
	char *start;
	size_t held;

	setup();
	/*
	 * The page before and the page after stay inaccessible, so that the rest is a mapping of
	 * its own.
	 */
	start = percpu__reserve((nr_pages + 2) * page, page, 0);
	ck_assert_int_eq(percpu__commit(start + page, nr_pages * page), 0);
	percpu__advise_huge(start + page, nr_pages * page, false);
	for (size_t i = 0; i < nr_pages; i++)
		*(volatile char *)(start + (1 + i) * page);
	held = held_bytes(start + page);
	ck_assert_msg(held == 0 || held == nr_pages * page, "%zu KiB of %zu pages", held >> 10,
		      nr_pages);
	for (int again = 0; again < 3; again++)
		ck_assert_int_eq(percpu__has_zero_page(), held == 0);
	percpu__release(start, (nr_pages + 2) * page);
}
END_TEST

START_TEST(written_pages_are_distinguished_from_the_zero_page)
{
	const size_t nr_pages = 300;
	struct utsname system;
	size_t nr_own; /* pages counted as own, of three */
	char *start;

	setup();
	/* Before Linux 6.7 the zero page cannot be distinguished from a written page. */
	ck_assert_int_eq(uname(&system), 0);
	nr_own = strverscmp(system.release, "6.7") < 0 || !percpu__has_zero_page() ? 2 : 1;
	start = striped(nr_pages);
	for (unsigned capacity = 2; capacity <= 64; capacity += 31) {
		const size_t bytes = nr_pages * page;

		ck_assert_uint_eq(found(PERCPU__PAGES_OWN, start, bytes, capacity, nr_own),
				  nr_own * 100 * page);
		ck_assert_uint_eq(found(PERCPU__PAGES_MAPPED, start, bytes, capacity, 2),
				  200 * page);
	}
	percpu__release(start, nr_pages * page);
	ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(binding_to_a_missing_node_fails)
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

START_TEST(the_mapping_limit_is_plausible)
{
	setup();
	ck_assert_uint_ge(percpu__mapping_limit(), 1024);
	ck_assert_int_eq(errno, 77);
}
END_TEST

TEST_MAIN("platform: memory", 60, reservations_are_aligned_inaccessible_and_empty,
	  reservations_keep_no_slack, impossible_reservations_return_null,
	  commit_makes_a_part_usable, a_core_includes_committed_memory_only,
	  purged_pages_read_zero_and_take_no_memory, populate_touches_every_page,
	  the_shared_zero_page_is_detected, written_pages_are_distinguished_from_the_zero_page,
	  binding_to_a_missing_node_fails, the_mapping_limit_is_plausible)
