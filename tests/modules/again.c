/* SPDX-License-Identifier: MIT */
/*
 * Loads and unloads a plugin (argument 1) that contains the library, argument 2 times. After the
 * last time the process has the same address space, mappings, descriptors, keys and memory as after
 * the first ones. In the middle it forks, and the child loads the plugin, too. Another plugin
 * (argument 3) stays loaded, and its copy of the library keeps working. With a fourth argument the
 * size of memory is ignored, as sanitizers keep memory.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WARM 3 /* loads after which libc and the loader keep no more */

struct size {
	long addresses_kib, mappings, descriptors, keys, memory_kib;
};

static long number_in(const char *path, const char *key)
{
	FILE *file = fopen(path, "r");
	char line[4096];
	long number = 0;

	while (file && fgets(line, sizeof(line), file))
		if (!key)
			number++;
		else if (!strncmp(line, key, strlen(key)))
			number = strtol(line + strlen(key), NULL, 10);
	fclose(file);
	return number;
}

static long nr_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	long nr = 0;

	while (readdir(folder))
		nr++;
	closedir(folder);
	return nr;
}

static struct size look(void)
{
	pthread_key_t key;
	struct size size = {
		.addresses_kib = number_in("/proc/self/status", "VmSize:"),
		.mappings = number_in("/proc/self/maps", NULL),
		.descriptors = nr_descriptors(),
		.memory_kib = number_in("/proc/self/smaps_rollup", "Anonymous:"),
	};

	pthread_key_create(&key, NULL);
	pthread_key_delete(key);
	size.keys = key;
	return size;
}

static int (*loaded(const char *path, void **plugin))(void)
{
	int (*take)(void) = NULL;

	*plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (*plugin)
		*(void **)&take = dlsym(*plugin, "own_take");
	else
		fprintf(stderr, "%s\n", dlerror());
	return take;
}

static int load_and_unload(const char *path)
{
	void *plugin;
	int (*take)(void) = loaded(path, &plugin);

	if (!take || take())
		return 1;
	return dlclose(plugin) || dlopen(path, RTLD_NOW | RTLD_NOLOAD);
}

static int fork_and_load(const char *path)
{
	const pid_t child = fork();
	int status;

	if (!child) {
		for (unsigned i = 0; i < 5; i++)
			if (load_and_unload(path))
				_exit(1);
		_exit(0);
	}
	return waitpid(child, &status, 0) != child || status;
}

int main(int argc, char **argv)
{
	const long rounds = argc > 3 ? atol(argv[2]) : 300;
	struct size first = { 0 }, last;
	void *other;
	int (*take_other)(void) = argc > 3 ? loaded(argv[3], &other) : NULL;
	uint64_t (*other_sum)(void);
	void (*other_count)(void);

	if (argc < 4 || take_other)
		return 2;
	*(void **)&other_sum = dlsym(other, "part_sum");
	*(void **)&other_count = dlsym(other, "part_count");
	for (long round = 0; round < rounds; round++) {
		if (load_and_unload(argv[1]) || (round == rounds / 2 && fork_and_load(argv[1]))) {
			fprintf(stderr, "round %ld: not loaded, or not working\n", round);
			return 1;
		}
		other_count();
		if (other_sum() != 2 * ((uint64_t)round + 1)) {
			fprintf(stderr, "round %ld: the other plugin lost something\n", round);
			return 1;
		}
		if (round == WARM)
			first = look();
	}
	last = look();
	fprintf(stderr, "after %d: %ld KiB of addresses, %ld mappings, %ld descriptors, key %ld, %ld KiB of memory\n", WARM + 1,
		first.addresses_kib, first.mappings, first.descriptors, first.keys, first.memory_kib);
	fprintf(stderr, "after %ld: %ld KiB of addresses, %ld mappings, %ld descriptors, key %ld, %ld KiB of memory\n", rounds,
		last.addresses_kib, last.mappings, last.descriptors, last.keys, last.memory_kib);
	/* The kernel may merge neighbouring mappings of the same kind, or not. */
	if (last.addresses_kib > first.addresses_kib + 1024 || last.mappings > first.mappings + 4 ||
	    last.descriptors != first.descriptors || last.keys != first.keys || (argc == 4 && last.memory_kib > first.memory_kib + 64))
		return 1;
	fprintf(stderr, "all is as it was\n");
	return 0;
}
