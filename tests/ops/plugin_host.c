/* SPDX-License-Identifier: MIT */
/*
 * Opens a plugin, counts in it, closes it, again and again, while a thread that counted in it lives on.
 * With -DLINKED the plugin is a library of the process. At the end threads are still counting.
 */
#include <percpu/percpu.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef long count_fn(long n);
extern count_fn plugin_count;

#define check(condition)                                                                                     \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);                             \
			exit(1);                                                                             \
		}                                                                                            \
	} while (0)

static void *count_for_ever(void *count)
{
	for (;;)
		((count_fn *)count)(1);
	return NULL;
}

#ifndef LINKED
static pthread_barrier_t barrier;

/* Counts in each plugin, then lives on without it, preempted and signalled at leisure. */
static void *visitor(void *count)
{
	check(((count_fn *)count)(1000) >= 2000);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	for (volatile long spin = 0; spin < 30000000; spin++)
		;
	return NULL;
}

static size_t nr_live(void)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	check(!percpu_pool_stats(NULL, &stats));
	return stats.nr_live;
}

static void open_and_close(const char *path)
{
	void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	count_fn *count = plugin ? (count_fn *)dlsym(plugin, "plugin_count") : NULL;
	pthread_t thread;

	check(count);
	check(count(10) == 20);
	pthread_barrier_init(&barrier, NULL, 2);
	pthread_create(&thread, NULL, visitor, (void *)count);
	pthread_barrier_wait(&barrier);
	check(!dlclose(plugin));
	check(!dlopen(path, RTLD_NOW | RTLD_NOLOAD)); /* it is gone indeed */
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
}
#endif

int main(int argc, char **argv)
{
	pthread_t thread;
	count_fn *count;

#ifdef LINKED
	count = plugin_count;
#else
	size_t before;
	void *plugin;

	percpu_free(percpu_new(long));
	before = nr_live();
	for (unsigned i = 0; i < 5; i++) {
		open_and_close(argv[1]);
		check(nr_live() == before);
	}
	plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	count = plugin ? (count_fn *)dlsym(plugin, "plugin_count") : NULL;
	check(count);
#endif
	for (unsigned i = 0; i < 4; i++)
		pthread_create(&thread, NULL, count_for_ever, (void *)count);
	usleep(20000);
	return 0;
}
