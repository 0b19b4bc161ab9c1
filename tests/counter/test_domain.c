/* SPDX-License-Identifier: MIT */
/* Sums by domain, on machines that hwloc simulates: HWLOC_SYNTHETIC describes them. */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include <percpu/percpu.h>

#include "harness/harness.h"

#define NR_CPUS 16
#define MAX_DOMAINS 17

static const struct machine {
	const char *synthetic;
	const char *domains[4]; /* of CPUs 0 to 15 at each level, one digit each */
	int nr[4];             /* including the last domain */
} machines[] = {
	{ "pack:2 numa:1 l3:2 core:2 pu:2",
	  { "0011223344556677", "0000111122223333", "0000000011111111", "0000000011111111" },
	  { 9, 5, 3, 3 } },
	/* CPU i in package i mod 2, as most firmware numbers them. */
	{ "pack:2 numa:1 l3:1 core:8 pu:1(indexes=0,2,4,6,8,10,12,14,1,3,5,7,9,11,13,15)",
	  { "08192a3b4c5d6e7f", "0101010101010101", "0101010101010101", "0101010101010101" },
	  { 17, 3, 3, 3 } },
	/* Fewer CPUs than are possible, neither L3 nor packages: the rest is in no domain. */
	{ "numa:4 core:3 pu:1",
	  { "0123456789abgggg", "gggggggggggggggg", "000111222333gggg", "gggggggggggggggg" },
	  { 13, 1, 5, 1 } },
};
#define NR_MACHINES (int)(sizeof(machines) / sizeof(machines[0]))

static const struct machine *enter(int i)
{
	setenv("PERCPU_OPTIONS", "cpus:16", 1);
	setenv("HWLOC_SYNTHETIC", machines[i].synthetic, 1);
	return &machines[i];
}

/* Returns: the domain that a digit stands for; 'g' is the last one. */
static int domain_in(const struct machine *machine, int level, unsigned cpu)
{
	const char digit = cpu < NR_CPUS ? machine->domains[level][cpu] : 'g';

	if (digit == 'g')
		return machine->nr[level] - 1;
	return digit >= 'a' ? digit - 'a' + 10 : digit - '0';
}

START_TEST(every_copy_is_in_its_domain)
{
	const struct machine *machine = enter(_i);

	ck_assert_uint_eq(percpu_nr_cpus(), NR_CPUS);
	for (int level = 0; level < 4; level++) {
		ck_assert_int_eq(percpu_nr_domains(level), machine->nr[level]);
		for (unsigned copy = 0; copy <= NR_CPUS; copy++)
			ck_assert_msg(percpu_domain_of(level, copy) ==
					      domain_in(machine, level, copy),
				      "%s, level %d, copy %u: %d", machine->synthetic, level, copy,
				      percpu_domain_of(level, copy));
		for (int domain = 0; domain < machine->nr[level] - 1; domain++)
			ck_assert_int_ge(percpu_domain_number(level, domain), 0);
		ck_assert_int_eq(percpu_domain_number(level, machine->nr[level] - 1), -ENOENT);
	}
}
END_TEST

#define CHECK_TYPE(type)                                                                           \
	{                                                                                          \
		type *p = percpu_new(type), sums[MAX_DOMAINS + 1], want[MAX_DOMAINS + 1],          \
		     total = 0;                                                                    \
                                                                                                   \
		memset(sums, 0x55, sizeof(sums));                                                  \
		memset(want, 0x55, sizeof(want));                                                  \
		memset(want, 0, machine->nr[level] * sizeof(type));                                \
		percpu_for_each_copy (i) {                                                         \
			*percpu_ptr(p, i) = (type)(i * UINT64_C(0x123456789abcdef1));              \
			want[domain_in(machine, level, i)] =                                       \
				(type)((uint64_t)want[domain_in(machine, level, i)] +              \
				       (uint64_t)*percpu_ptr(p, i));                               \
		}                                                                                  \
		ck_assert_int_eq(percpu_sum_by(p, level, sums, MAX_DOMAINS + 1), 0);               \
		ck_assert_int_eq(memcmp(sums, want, sizeof(sums)), 0);                             \
		for (int i = 0; i < machine->nr[level]; i++)                                       \
			total = (type)((uint64_t)total + (uint64_t)sums[i]);                       \
		ck_assert(total == percpu_sum(p));                                                 \
		percpu_free(p);                                                                    \
	}

START_TEST(sums_of_every_type)
{
	const struct machine *machine = enter(_i);

	for (int level = 0; level < 4; level++) {
		CHECK_TYPE(uint8_t)
		CHECK_TYPE(int8_t)
		CHECK_TYPE(uint16_t)
		CHECK_TYPE(int16_t)
		CHECK_TYPE(uint32_t)
		CHECK_TYPE(int)
		CHECK_TYPE(uint64_t)
		CHECK_TYPE(long)
		CHECK_TYPE(long long)
	}
}
END_TEST

START_TEST(a_struct_of_counters_at_once)
{
	enum { N = 37 };
	const struct machine *machine = enter(_i);
	uint64_t *p = percpu_new_array(uint64_t, N);
	uint64_t sums[MAX_DOMAINS * N], one[MAX_DOMAINS];

	percpu_for_each_copy(copy)
		for (int i = 0; i < N; i++)
			percpu_ptr(p, copy)[i] = copy * 1000 + i;
	for (int level = 0; level < 4; level++) {
		ck_assert_int_eq(percpu_sum_u64_by(sums, p, N, level, MAX_DOMAINS), 0);
		for (int i = 0; i < N; i++) {
			ck_assert_int_eq(percpu_sum_by(&p[i], level, one, MAX_DOMAINS), 0);
			for (int domain = 0; domain < machine->nr[level]; domain++)
				ck_assert_uint_eq(sums[domain * N + i], one[domain]);
		}
	}
	percpu_free(p);
}
END_TEST

START_TEST(errors_are_returned)
{
	const struct machine *machine = enter(0);
	uint64_t *p = percpu_new(uint64_t), sums[MAX_DOMAINS];

	memset(sums, 0x55, sizeof(sums));
	for (int level = 0; level < 4; level++) {
		ck_assert_int_eq(percpu_sum_by(p, level, sums, (size_t)machine->nr[level] - 1),
				 -ERANGE);
		ck_assert_int_eq(
			percpu_sum_u64_by(sums, p, 1, level, (size_t)machine->nr[level] - 1),
			-ERANGE);
		ck_assert_uint_eq(sums[0], 0x5555555555555555);
		ck_assert_int_eq(percpu_domain_of(level, NR_CPUS + 1), -EINVAL);
		ck_assert_int_eq(percpu_domain_number(level, (unsigned)machine->nr[level]),
				 -EINVAL);
	}
	ck_assert_int_eq(percpu_nr_domains(4), -EINVAL);
	ck_assert_int_eq(percpu_sum_by(p, -1, sums, MAX_DOMAINS), -EINVAL);
	percpu_free(p);
}
END_TEST

/* hwloc is loaded only in processes that ask for domains. */
START_TEST(hwloc_is_loaded_on_demand)
{
	char maps[65536];
	FILE *file;
	size_t nr;

	percpu_free(percpu_alloc(8, 8));
	file = fopen("/proc/self/maps", "r");
	ck_assert_ptr_nonnull(file);
	nr = fread(maps, 1, sizeof(maps) - 1, file);
	fclose(file);
	maps[nr] = '\0';
	ck_assert_ptr_null(strstr(maps, "libhwloc"));
	ck_assert_int_ge(percpu_nr_domains(PERCPU_LEVEL_CORE), 1);
}
END_TEST

/* On the real machine, CPUs of one core are in one package. */
START_TEST(levels_agree_on_this_machine)
{
	for (unsigned a = 0; a < percpu_nr_cpus(); a++)
		for (unsigned b = 0; b < a; b++)
			if (percpu_domain_of(PERCPU_LEVEL_CORE, a) ==
			    percpu_domain_of(PERCPU_LEVEL_CORE, b))
				ck_assert_int_eq(percpu_domain_of(PERCPU_LEVEL_PACKAGE, a),
						 percpu_domain_of(PERCPU_LEVEL_PACKAGE, b));
}
END_TEST

static Suite *suite(void)
{
	Suite *suite = suite_create("counter: domains");
	TCase *tcase = case_of("domains");

	tcase_add_loop_test(tcase, every_copy_is_in_its_domain, 0, NR_MACHINES);
	tcase_add_loop_test(tcase, sums_of_every_type, 0, NR_MACHINES);
	tcase_add_loop_test(tcase, a_struct_of_counters_at_once, 0, NR_MACHINES);
	tcase_add_test(tcase, errors_are_returned);
	tcase_add_test(tcase, hwloc_is_loaded_on_demand);
	tcase_add_test(tcase, levels_agree_on_this_machine);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	void *hwloc = dlopen("libhwloc.so.15", RTLD_NOW);

	if (!hwloc)
		return printf("1..0 # SKIP libhwloc is not installed\n") < 0;
	dlclose(hwloc);
	return run_suite(suite());
}
