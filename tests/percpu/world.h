/* SPDX-License-Identifier: MIT */
/*
 * Helpers for tests of per-CPU memory: patterns in copies, their pages, statistics, random numbers.
 */
#ifndef TESTS_PERCPU_WORLD_H
#define TESTS_PERCPU_WORLD_H

#include <check.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <percpu/percpu.h>

/* Overrides PERCPU_OPTIONS in this process; to be called before the first use of the library. */
#define with_options(text) ck_assert_int_eq(setenv("PERCPU_OPTIONS", (text), 1), 0)

/* Returns: the next random number (xorshift). */
static inline uint64_t chance(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * UINT64_C(0x2545f4914f6cdd1d) >> 11;
}

/* ---- bytes: the pattern depends on the seed, the copy and the offset ---- */

/* Returns: the distance of the bytes checked: all of small areas, some per page of large ones. */
static inline size_t step_of(size_t size)
{
	return size <= 8192 ? 1 : 1021;
}

static inline unsigned char byte_of(uint64_t seed, unsigned copy, size_t at)
{
	return 1 + (seed * 31 + copy * 7 + at * 3 + (at >> 8)) % 255;
}

static inline void fill_copy(char *p, size_t size, uint64_t seed, unsigned copy)
{
	unsigned char *bytes = (unsigned char *)percpu_ptr(p, copy);

	for (size_t at = 0; at < size; at += step_of(size))
		bytes[at] = byte_of(seed, copy, at);
	bytes[size - 1] = byte_of(seed, copy, size - 1);
}

static inline bool is_filled_copy(char *p, size_t size, uint64_t seed, unsigned copy)
{
	const unsigned char *bytes = (unsigned char *)percpu_ptr(p, copy);

	for (size_t at = 0; at < size; at += step_of(size))
		if (bytes[at] != byte_of(seed, copy, at))
			return false;
	return bytes[size - 1] == byte_of(seed, copy, size - 1);
}

static inline bool is_zero_copy(char *p, size_t size, unsigned copy)
{
	const char *bytes = percpu_ptr(p, copy);

	return !bytes[0] && !memcmp(bytes, bytes + 1, size - 1);
}

static inline void fill(void *p, size_t size, uint64_t seed)
{
	percpu_for_each_copy(i)
		fill_copy(p, size, seed, i);
}

static inline bool is_filled(void *p, size_t size, uint64_t seed)
{
	percpu_for_each_copy(i)
		if (!is_filled_copy(p, size, seed, i))
			return false;
	return true;
}

static inline bool is_zero(void *p, size_t size)
{
	percpu_for_each_copy(i)
		if (!is_zero_copy(p, size, i))
			return false;
	return true;
}

/* ---- pages ---- */

static inline size_t page_bytes(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* Returns: the number of mapped pages, the zero page included, of a range in one copy. */
static inline size_t resident_pages(const void *p, unsigned copy, size_t size)
{
	const uintptr_t page = page_bytes();
	const uintptr_t start = (uintptr_t)percpu_ptr((const char *)p, copy) & ~(page - 1);
	const uintptr_t end =
		((uintptr_t)percpu_ptr((const char *)p, copy) + size + page - 1) & ~(page - 1);
	unsigned char present[64];
	size_t nr = 0;

	ck_assert_uint_le((end - start) / page, sizeof(present));
	ck_assert_int_eq(mincore((void *)start, end - start, present), 0);
	for (size_t i = 0; i < (end - start) / page; i++)
		nr += present[i] & 1;
	return nr;
}

/*
 * Returns: the value, in bytes, of a line "key:  N kB" in a file of /proc/self. Calls after the
 * first touch no new page.
 */
static inline size_t proc_bytes(const char *path, const char *key)
{
	static char text[16384];
	int fd = open(path, O_RDONLY);
	size_t filled = 0;
	ssize_t got;
	char *line;

	ck_assert_int_ge(fd, 0);
	memset(text, 1, sizeof(text));
	while ((got = read(fd, text + filled, sizeof(text) - 1 - filled)) > 0)
		filled += got;
	close(fd);
	text[filled] = '\0';
	line = strstr(text, key);
	ck_assert_ptr_nonnull(line);
	return strtoull(line + strlen(key), NULL, 10) << 10;
}

/* Returns: bytes of the process's anonymous pages and page tables. */
static inline size_t held_bytes(void)
{
	return proc_bytes("/proc/self/smaps_rollup", "\nAnonymous:") +
	       proc_bytes("/proc/self/status", "\nVmPTE:");
}

static inline unsigned nr_mappings(void)
{
	char buffer[65536];
	int fd = open("/proc/self/maps", O_RDONLY);
	unsigned nr = 0;
	ssize_t got;

	ck_assert_int_ge(fd, 0);
	while ((got = read(fd, buffer, sizeof(buffer))) > 0)
		for (ssize_t i = 0; i < got; i++)
			nr += buffer[i] == '\n';
	close(fd);
	return nr;
}

/* ---- statistics ---- */

static inline struct percpu_pool_stats stats_of(struct percpu_pool *pool)
{
	struct percpu_pool_stats stats;

	memset(&stats, 0xa5, sizeof(stats));
	stats.size = sizeof(stats);
	ck_assert_int_eq(percpu_pool_stats(pool, &stats), 0);
	ck_assert_uint_eq(stats.size, sizeof(stats));
	ck_assert_uint_ge(stats.held_page_bytes, stats.used_page_bytes);
	ck_assert_uint_le(stats.live_bytes, stats.used_page_bytes);
	ck_assert_uint_le(stats.held_page_bytes, stats.nr_chunks * PERCPU_STRIDE);
	ck_assert_uint_le(stats.nr_chunks_unplaced, stats.nr_chunks);
	ck_assert_uint_le(stats.nr_chunks_huge, stats.nr_chunks);
	ck_assert_uint_ge(stats.reserved_bytes,
			  stats.nr_chunks * (percpu_nr_copies() + 1) * PERCPU_STRIDE);
	return stats;
}

/* Returns: the bytes of a unit that an allocation of size bytes takes. */
static inline size_t granules_of(size_t size)
{
	return (size + 7) & ~(size_t)7;
}

static inline struct percpu_pool *pool_with(struct percpu_pool_attr attr)
{
	struct percpu_pool *pool;

	attr.size = sizeof(attr);
	pool = percpu_pool_create("test", &attr);
	ck_assert_ptr_nonnull(pool);
	return pool;
}

#endif
