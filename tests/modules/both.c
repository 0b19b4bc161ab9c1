/* SPDX-License-Identifier: MIT */
/*
 * A program that contains the library, and a plugin (argument) that contains it, too: neither copy
 * sees the other's state.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <percpu/percpu.h>

static PERCPU_DEFINE(uint64_t, mine);

static size_t live(void)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	percpu_pool_stats(NULL, &stats);
	return stats.nr_live;
}

int main(int argc, char **argv)
{
	const size_t before = live();
	int status = 0;

	for (int round = 0; round < 50; round++) {
		void *plugin = dlopen(argv[1], RTLD_NOW | (round % 2 ? RTLD_GLOBAL : RTLD_LOCAL));
		uint64_t (*sum)(void);
		void (*count)(void);

		if (!plugin) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		*(void **)&count = dlsym(plugin, "part_count");
		*(void **)&sum = dlsym(plugin, "part_sum");
		for (int i = 0; i < 1000; i++) {
			count();
			percpu_inc(mine);
		}
		if (sum() != 2000 || percpu_sum(mine) != (uint64_t)(round + 1) * 1000) {
			fprintf(stderr, "round %d: %llu and %llu\n", round, (unsigned long long)sum(),
				(unsigned long long)percpu_sum(mine));
			return 1;
		}
		if (live() != before) {
			fprintf(stderr, "the plugin's variables are in the program's pool\n");
			return 1;
		}
		dlclose(plugin);
		/* Everything that the plugin's copy registered must be gone. */
		if (!fork())
			exit(0);
		if (wait(&status) < 0 || status)
			return 1;
	}
	return 0;
}
