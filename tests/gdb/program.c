/* SPDX-License-Identifier: MIT */
/* For the debugger: memory of every kind with known values, then a stop, an abort or a wait. */
#include <percpu/kernel.h>
#include <percpu/percpu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct stats {
	long packets;
	unsigned char flags;
	int by_kind[3];
};

PERCPU_DEFINE(long, hits);
static DEFINE_PER_CPU(int, depth) = 5;
static struct stats __percpu *stats;
static unsigned char __percpu *small;
static long __percpu *freed, *freed_large;
__attribute__((__used__)) static long __percpu *null;
__attribute__((__used__)) static long __percpu *garbage = (long __percpu *)0x12345678;
static long on_heap;
static struct percpu_counter requests;
static struct percpu_histogram latency;
static struct percpu_group traffic;
__attribute__((__used__)) static struct percpu_group none;
static struct percpu_pool *pool;
static long __percpu *in_pool;
static struct percpu_cache *cache;

/* Prints the library's own answers, which the debugger must repeat. */
static uint64_t percentiles[3], fields[2];
static long *copy_of_one;

__attribute__((noinline)) static void stop_here(void)
{
	__asm__ volatile("" ::: "memory");
}

static void count(void)
{
	static const struct percpu_pool_attr attr = { .size = sizeof(attr), .limit_bytes = 4096 };
	static uint64_t counts[20000];
	struct percpu_histogram_data data = { .counts = counts };
	long __percpu *first;
	uint64_t *word;

	/* Each copy has a page of its own, so that copies without a write have no page. */
	stats = percpu_alloc(4096, 4096);
	small = percpu_new(unsigned char);
	for (unsigned cpu = 0; cpu < percpu_nr_copies(); cpu++) {
		*percpu_ptr(hits, cpu) = 10 * (cpu + 1);
		*percpu_ptr(small, cpu) = 200;
	}
	madvise(percpu_ptr(stats, 0), 4096, MADV_DONTDUMP); /* excluded from cores */
	*percpu_ptr(stats, 1) = (struct stats){ 7, 'x', { 1, 2, 3 } };
	per_cpu(depth, 0) = 6;
	copy_of_one = percpu_ptr(hits, 1);

	percpu_counter_init(&requests, 1000, 0);
	percpu_counter_add(&requests, -300);
	percpu_ptr(requests.copies, 1)->total += 5; /* added, and not folded yet */
	percpu_histogram_init(&latency, NULL, 1000, 60000000, 7);
	for (uint64_t i = 1; i <= 2000; i++)
		percpu_histogram_record(&latency, i * i * 7 % 3000017);
	percpu_histogram_read(&latency, &data);
	for (int i = 0; i < 3; i++)
		percentiles[i] = percpu_histogram_percentile(&data, (double[]){ 50, 90, 99 }[i]);
	percpu_group_init(&traffic, 2);
	for (int i = 0; i < 5; i++)
		percpu_group_add(&traffic, 1, 100);
	/*
	 * Every copy is marked as claimed, so that an addition in atomic mode goes to a spare copy.
	 */
	percpu_for_each_copy(i) {
		word = percpu_ptr((uint64_t *)traffic.of[2], i);
		*word |= percpu_mode() == PERCPU_MODE_ATOMIC ? UINT64_C(1) << 63 : 0;
	}
	percpu_group_add(&traffic, 1, 100);
	percpu_group_read(&traffic, fields);

	pool = percpu_pool_create("sessions", &attr);
	in_pool = percpu_pool_alloc(pool, 64, 8);
	*percpu_ptr(in_pool, 0) = -1;
	cache = percpu_cache_create("packets", 1500, 64, 0, NULL);
	percpu_cache_free(cache, percpu_cache_alloc(cache));

	/* The second free of a size stays in the CPU's area cache. */
	first = percpu_new(long);
	freed = percpu_new(long);
	percpu_free(first);
	percpu_free(freed);
	freed_large = percpu_alloc(100000, 8);
	percpu_free(freed_large);
}

int main(int argc, char **argv)
{
	count();
	stop_here();
	if (argc > 1 && !strcmp(argv[1], "abort"))
		abort();
	if (argc > 1 && !strcmp(argv[1], "wait")) {
		puts("ready");
		fflush(stdout);
		pause();
	}
	return on_heap;
}
