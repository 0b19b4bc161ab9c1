/* SPDX-License-Identifier: MIT */
/* Copies: their addresses, and that they do not overlap, are zero, and fault when dereferenced. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "harness/harness.h"
#include "percpu/world.h"

static const size_t sizes[] = {
	1, 3, 4, 7, 8, 9, 16, 40, 63, 64, 65, 100, 128, 500, 511, 512, 513, 520, 1000, 4000,
	4095, 4096, 4097, 8192, 9000, 20000, 65536, 100000, 200000, 262143, PERCPU_MAX_SIZE,
};
#define NR_SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* Returns: true if writing all copies of an area of this size would take too long. */
static bool is_too_much(size_t size)
{
	return size * percpu_nr_copies() > (size_t)64 << 20;
}

/* ---- arithmetic ---- */

START_TEST(a_copy_is_a_fixed_distance_away)
{
	struct pair {
		int a, b;
	} *pair = percpu_new(struct pair);
	int *b = &pair->b;

	ck_assert_uint_eq(percpu_nr_copies(), percpu_nr_cpus() + 1);
	percpu_for_each_copy(i) {
		struct pair *copy = percpu_ptr(pair, i);

		ck_assert_uint_eq((uintptr_t)copy,
				  (uintptr_t)pair + ((uintptr_t)i + 1) * PERCPU_STRIDE);
		ck_assert_ptr_eq(percpu_ptr(b, i), &copy->b);
		_Static_assert(__builtin_types_compatible_p(__typeof__(percpu_ptr(b, 0)), int *),
			       "typed");
	}
	percpu_free(pair);
}
END_TEST

START_TEST(this_ptr_points_to_a_copy)
{
	char *p = percpu_alloc(8, 8);
	const uintptr_t distance = (uintptr_t)percpu_this_ptr(p) - (uintptr_t)p;

	ck_assert_uint_eq(distance % PERCPU_STRIDE, 0);
	ck_assert_uint_ge(distance / PERCPU_STRIDE, 1);
	ck_assert_uint_le(distance / PERCPU_STRIDE, percpu_nr_copies());
	percpu_free(p);
}
END_TEST

START_TEST(this_ptr_points_to_the_copy_of_the_cpu)
{
	char *p = percpu_alloc(8, 8);
	cpu_set_t set;

	for (unsigned cpu = 0; cpu < percpu_nr_cpus() && cpu < CPU_SETSIZE; cpu++) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set) < 0)
			continue;
		ck_assert_ptr_eq(percpu_this_ptr(p), percpu_ptr(p, cpu));
	}
	percpu_free(p);
}
END_TEST

START_TEST(the_number_of_cpus_is_as_configured)
{
	const char *cpus =
		getenv("PERCPU_OPTIONS") ? strstr(getenv("PERCPU_OPTIONS"), "cpus:") : NULL;

	if (cpus)
		ck_assert_uint_eq(percpu_nr_cpus(), strtoul(cpus + 5, NULL, 10));
	else
		ck_assert_uint_ge(percpu_nr_cpus(), sysconf(_SC_NPROCESSORS_CONF));
}
END_TEST

/* ---- faults ---- */

static bool dies_of_segv(char *at, bool write)
{
	int status;
	const pid_t child = fork();

	if (!child) {
		signal(SIGSEGV, SIG_DFL);
		if (write)
			*(volatile char *)at = 1;
		else
			*(volatile char *)at;
		_exit(0);
	}
	waitpid(child, &status, 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

START_TEST(a_plain_dereference_faults)
{
	for (size_t i = 0; i < NR_SIZES; i += 5) {
		struct percpu_pool *pool = percpu_pool_create("faults", NULL);
		char *p = percpu_alloc(sizes[i], 8), *q = percpu_pool_alloc(pool, sizes[i], 8);

		ck_assert(dies_of_segv(p, false) && dies_of_segv(p, true));
		ck_assert(dies_of_segv(p + sizes[i] - 1, false) &&
			  dies_of_segv(p + sizes[i] - 1, true));
		ck_assert(dies_of_segv(q, false) && dies_of_segv(q, true));
		percpu_free(p);
		percpu_free(q);
	}
}
END_TEST

START_TEST(an_access_beyond_the_last_copy_faults)
{
	char *p = percpu_alloc(PERCPU_MAX_SIZE, 8);
	char *last = percpu_ptr(p, percpu_nr_copies() - 1);

	ck_assert(!dies_of_segv(last + PERCPU_MAX_SIZE - 1, true));
	ck_assert(dies_of_segv(last + PERCPU_MAX_SIZE, true));
	percpu_free(p);
}
END_TEST

/* ---- shape ---- */

START_TEST(alignment_holds_in_every_copy)
{
	for (size_t align = 1; align <= PERCPU_MAX_ALIGN; align *= 2)
		for (size_t i = 0; i < NR_SIZES - 1; i++) {
			char *p[4];

			for (int n = 0; n < 4; n++) {
				p[n] = percpu_alloc(sizes[i] & 0xffff ? sizes[i] & 0xffff : 8,
						    align);
				ck_assert_ptr_nonnull(p[n]);
				percpu_for_each_copy(c)
					ck_assert_uint_eq((uintptr_t)percpu_ptr(p[n], c) % align,
							  0);
			}
			for (int n = 0; n < 4; n++)
				percpu_free(p[n]);
		}
}
END_TEST

START_TEST(the_usable_size_is_the_size_in_granules)
{
	for (size_t size = 1; size <= PERCPU_MAX_SIZE; size += size < 5000 ? 1 : 997) {
		char *p = percpu_alloc(size, 1);

		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq((uintptr_t)p % 8, 0);
		ck_assert_uint_eq(percpu_usable_size(p), granules_of(size));
		percpu_free(p);
	}
}
END_TEST

START_TEST(allocations_do_not_overlap)
{
	char *p[NR_SIZES];

	for (size_t i = 0; i < NR_SIZES; i++) {
		if (is_too_much(sizes[i]))
			continue;
		ck_assert_ptr_nonnull(p[i] = percpu_alloc(sizes[i], 8));
		fill(p[i], percpu_usable_size(p[i]), i);
	}
	for (size_t i = 0; i < NR_SIZES; i++) {
		if (is_too_much(sizes[i]))
			continue;
		ck_assert_msg(is_filled(p[i], percpu_usable_size(p[i]), i), "%zu bytes", sizes[i]);
		percpu_free(p[i]);
	}
}
END_TEST

/* ---- zero ---- */

START_TEST(recycled_memory_is_zero_in_every_copy)
{
	for (size_t i = 0; i < NR_SIZES; i++)
		for (int round = 0; round < 3; round++) {
			char *p = percpu_alloc(sizes[i], 8);

			if (is_too_much(sizes[i])) {
				percpu_free(p);
				continue;
			}
			ck_assert_msg(is_zero(p, sizes[i]), "%zu bytes, round %d", sizes[i], round);
			fill(p, percpu_usable_size(p), i);
			percpu_free(p);
		}
}
END_TEST

/* Most copies are zero, and one has a single byte that is not. */
START_TEST(a_single_written_word_is_zeroed)
{
	uint64_t state = 88172645463325252u;

	for (int round = 0; round < 4000; round++) {
		const size_t size =
			round & 1 ? 1 + chance(&state) % 600 : 1 + chance(&state) % 6000;
		const unsigned copy = chance(&state) % percpu_nr_copies();
		char *p = percpu_alloc(size, 8);

		ck_assert(is_zero_copy(p, size, copy));
		ck_assert(is_zero_copy(p, size, 0));
		ck_assert(is_zero_copy(p, size, percpu_nr_copies() - 1));
		percpu_ptr(p, copy)[chance(&state) % size] = 1;
		percpu_free(p);
		p = percpu_alloc(size, 8);
		ck_assert(is_zero_copy(p, size, copy));
		percpu_free(p);
	}
}
END_TEST

START_TEST(bulk_memory_is_zero_in_every_copy)
{
	static void *p[300];

	for (size_t i = 0; i < NR_SIZES; i++) {
		const size_t n = sizes[i] <= 512 ? 300 : 3;

		for (int round = 0; round < 2; round++) {
			if (is_too_much(n * sizes[i]))
				continue;
			ck_assert_int_eq(percpu_alloc_bulk(sizes[i], 8, n, p), 0);
			for (size_t k = 0; k < n; k++) {
				ck_assert(is_zero(p[k], sizes[i]));
				fill(p[k], percpu_usable_size(p[k]), k);
			}
			for (size_t k = 0; k < n; k++)
				ck_assert(is_filled(p[k], percpu_usable_size(p[k]), k));
			percpu_free_bulk(n, p);
		}
	}
}
END_TEST

START_TEST(memory_of_a_pool_is_zero_in_every_copy)
{
	struct percpu_pool *pool = percpu_pool_create("zero", NULL);
	char *stays = percpu_pool_alloc(pool, 8, 8);

	for (size_t i = 0; i < NR_SIZES; i++)
		for (int round = 0; round < 3; round++) {
			char *p = percpu_pool_alloc(pool, sizes[i], 8);

			if (!is_too_much(sizes[i])) {
				ck_assert(is_zero(p, sizes[i]));
				fill(p, percpu_usable_size(p), i);
			}
			percpu_free(p);
			if (round == 1)
				percpu_trim(pool);
		}
	percpu_free(stays);
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
}
END_TEST

/* Areas reused at another size cover parts of freed areas, and the borders between several. */
START_TEST(memory_reused_at_another_size_is_zero)
{
	static void *p[512];

	for (int round = 0; round < 4; round++) {
		const size_t size = 8u << round;

		for (int i = 0; i < 512; i++) {
			ck_assert_ptr_nonnull(p[i] = percpu_alloc(size, 8));
			ck_assert(is_zero(p[i], size));
			fill(p[i], size, i);
		}
		for (int i = 0; i < 512; i += 2)
			percpu_free(p[i]);
		for (int i = 0; i < 512; i += 2) {
			ck_assert_ptr_nonnull(p[i] = percpu_alloc(size / 2 + 8, 8));
			ck_assert(is_zero(p[i], size / 2 + 8));
			fill(p[i], size / 2 + 8, i);
		}
		for (int i = 1; i < 512; i += 2)
			ck_assert(is_filled(p[i], size, i));
		for (int i = 0; i < 512; i++)
			percpu_free(p[i]);
	}
}
END_TEST

TEST_MAIN("percpu: copies", 300, a_copy_is_a_fixed_distance_away, this_ptr_points_to_a_copy,
	  this_ptr_points_to_the_copy_of_the_cpu, the_number_of_cpus_is_as_configured,
	  a_plain_dereference_faults, an_access_beyond_the_last_copy_faults,
	  alignment_holds_in_every_copy, the_usable_size_is_the_size_in_granules,
	  allocations_do_not_overlap, recycled_memory_is_zero_in_every_copy,
	  a_single_written_word_is_zeroed, bulk_memory_is_zero_in_every_copy,
	  memory_of_a_pool_is_zero_in_every_copy, memory_reused_at_another_size_is_zero)
