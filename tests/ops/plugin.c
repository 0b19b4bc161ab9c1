/* SPDX-License-Identifier: MIT */
/* A plugin with per-CPU variables of both kinds; plugin_host.c opens and closes it. */
#include <percpu/kernel.h>
#include <percpu/percpu.h>

PERCPU_DEFINE(long, plugin_hits);
static DEFINE_PER_CPU(long, plugin_start) = 40;

long plugin_count(long n);
long plugin_count(long n)
{
	long sum = 0;
	int cpu;

	for (long i = 0; i < n; i++) {
		percpu_inc(plugin_hits);
		this_cpu_inc(plugin_start);
	}
	for_each_possible_cpu(cpu) {
		sum += *percpu_ptr(plugin_hits, cpu);
		sum += per_cpu(plugin_start, cpu) - 40;
	}
	return sum;
}
