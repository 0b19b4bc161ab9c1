/* SPDX-License-Identifier: MIT */
#include <percpu/kernel.h>
#include <percpu/percpu.h>

#include "part.h"

static PERCPU_DEFINE(uint64_t, part_handle);
static DEFINE_PER_CPU(uint16_t, part_variable[3]) = { 0, 7, 9 };

void part_count(void)
{
	percpu_inc(part_handle);
	this_cpu_inc(part_variable[0]);
}

/* Zero also where initial values are not what they should be. */
uint64_t part_sum(void)
{
	uint64_t sum = percpu_sum(part_handle), low = 0;
	unsigned cpu;

	for_each_possible_cpu(cpu) {
		if (per_cpu(part_variable[1], cpu) != 7 || per_cpu(part_variable[2], cpu) != 9)
			return 0;
		low += per_cpu(part_variable[0], cpu);
	}
	return (uint16_t)low == (uint16_t)sum ? 2 * sum : 0;
}
