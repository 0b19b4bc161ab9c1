/* SPDX-License-Identifier: MIT */
/*
 * Two files with the kernel's names and without a per-CPU variable: nothing is attached, so no
 * memory is allocated.
 */
#include <stdio.h>

#include <percpu/kernel.h>
#include <percpu/pool.h>

size_t none_size_of_section(void);

#ifdef OTHER_FILE
size_t none_size_of_section(void)
{
	return __stop_percpu_static - __start_percpu_static;
}
#else
int main(void)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	if (percpu_pool_stats(NULL, &stats))
		return 1;
	printf("%zu areas in %zu chunks, a section of %zu bytes\n", stats.nr_live, stats.nr_chunks, none_size_of_section());
	return stats.nr_live || stats.nr_chunks;
}
#endif
