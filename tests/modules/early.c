/* SPDX-License-Identifier: MIT */
/* Operations before any constructor, in constructors of each priority, in main and at exit. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <percpu/kernel.h>
#include <percpu/percpu.h>

static uint64_t __percpu *counter;
static DEFINE_PER_CPU(uint64_t, variable) = 1;
static int steps;

static void count(void)
{
	if (!counter)
		counter = percpu_new(uint64_t);
	percpu_inc(counter);
	this_cpu_inc(variable);
	steps++;
}

#ifndef NO_PREINIT
static void before_all(int argc, char **argv, char **environment)
{
	(void)argc, (void)argv, (void)environment;
	count();
}
__attribute__((used, section(".preinit_array"))) static void (*const preinit)(int, char **, char **) = before_all;
#define FIRST_STEPS 1
#else
#define FIRST_STEPS 0
#endif

__attribute__((constructor(101))) static void very_early(void)
{
	count();
}

__attribute__((constructor)) static void early(void)
{
	count();
}

static uint64_t sum_of_variable(void)
{
	uint64_t sum = 0;
	unsigned cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu(variable, cpu) - 1;
	return sum;
}

static void judge(void)
{
	count();
	if (steps != FIRST_STEPS + 4 || percpu_sum(counter) != (uint64_t)steps ||
	    sum_of_variable() != (uint64_t)steps) {
		fprintf(stderr, "%d steps, sums %llu and %llu\n", steps, (unsigned long long)percpu_sum(counter),
			(unsigned long long)sum_of_variable());
		_exit(1);
	}
}

__attribute__((destructor)) static void late(void)
{
	count();
	if (percpu_sum(counter) != (uint64_t)steps || sum_of_variable() != (uint64_t)steps)
		_exit(1);
}

int main(void)
{
	count();
	atexit(judge);
	return 0;
}
