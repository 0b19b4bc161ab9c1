/* SPDX-License-Identifier: MIT */
/*
 * Loads and unloads a plugin (argument) many times: its variables are new each time, and nothing
 * leaks.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <percpu/percpu.h>

static void *load(const char *path, void (**count)(void), uint64_t (**sum)(void))
{
	void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!plugin) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	*(void **)count = dlsym(plugin, "part_count");
	*(void **)sum = dlsym(plugin, "part_sum");
	return plugin;
}

/* Returns: KiB of private memory and of page tables. */
static size_t held(void)
{
	static char text[8192];
	size_t total = 0;
	const char *const files[] = { "/proc/self/smaps_rollup", "/proc/self/status" };
	const char *const keys[] = { "\nAnonymous:", "\nVmPTE:" };

	for (int i = 0; i < 2; i++) {
		int fd = open(files[i], O_RDONLY);
		ssize_t got = read(fd, text, sizeof(text) - 1);
		char *line;

		close(fd);
		text[got < 0 ? 0 : got] = '\0';
		line = strstr(text, keys[i]);
		total += line ? strtoul(line + strlen(keys[i]), NULL, 10) : 0;
	}
	return total;
}

static size_t live(void)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	percpu_pool_stats(NULL, &stats);
	return stats.nr_live;
}

int main(int argc, char **argv)
{
	const int rounds = argc > 2 ? atoi(argv[2]) : 1000;
	size_t held_early = 0, live_early = 0;
	void (*count)(void);
	uint64_t (*sum)(void);
	void *plugin;
	int status = 0;

	for (int round = 0; round < rounds; round++) {
		plugin = load(argv[1], &count, &sum);
		if (sum() != 0) {
			fprintf(stderr, "round %d: a variable of the last round is seen\n", round);
			return 1;
		}
		for (int i = 0; i < 100; i++)
			count();
		if (sum() != 200) {
			fprintf(stderr, "round %d: %llu counted\n", round, (unsigned long long)sum());
			return 1;
		}
		dlclose(plugin);
		if (round == rounds / 10) {
			held_early = held();
			live_early = live();
		}
	}
	if (dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD)) {
		fprintf(stderr, "the plugin was never unloaded\n");
		return 1;
	}
	if (live() != live_early || (argc <= 3 && held() > held_early + 128)) {
		fprintf(stderr, "%zu areas and %zu KiB, then %zu and %zu\n", live_early, held_early, live(), held());
		return 1;
	}
	/* Everything that the plugin registered must be gone, too. */
	if (!fork())
		exit(0);
	wait(&status);
	return status != 0;
}
