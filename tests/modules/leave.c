/* SPDX-License-Identifier: MIT */
/*
 * A process that exits while threads count in a plugin, which a library of the process loaded
 * before main. This file makes four modules: PLUGIN, which needs LATE; EARLY, whose constructor
 * loads PLUGIN; and the program. LATE's destructor runs after PLUGIN's: it loads another plugin
 * (argument 1 of the program), and its allocations before and after that must not overlap with
 * others.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <percpu/kernel.h>
#include <percpu/percpu.h>

void late(const char *path);
void plugin_count(void);
extern void (*early_count)(void);

#define NR 64

#if defined(PLUGIN)
static PERCPU_DEFINE(long, hits);
static DEFINE_PER_CPU(long, marks) = 0;

void plugin_count(void)
{
	if (!hits)
		late(NULL); /* makes LATE needed */
	percpu_inc(hits);
	this_cpu_inc(marks);
}
#elif defined(LATE)
static const char *other_plugin;

void late(const char *path)
{
	other_plugin = path;
}

__attribute__((destructor)) static void end(void)
{
	long __percpu *p[NR];
	long sum = 0;

	for (unsigned i = 0; i < NR / 2; i++)
		p[i] = percpu_new(long);
	if (other_plugin && !dlopen(other_plugin, RTLD_NOW)) {
		fprintf(stderr, "%s\n", dlerror());
		_exit(2);
	}
	for (unsigned i = NR / 2; i < NR; i++)
		p[i] = percpu_new(long);
	usleep(200000);
	for (unsigned i = 0; i < NR; i++)
		sum += percpu_sum(p[i]);
	if (sum) {
		fprintf(stderr, "allocations made during exit sum up to %ld\n", sum);
		_exit(1);
	}
}
#elif defined(EARLY)
void (*early_count)(void);

__attribute__((constructor)) static void begin(void)
{
	void *plugin = dlopen(getenv("LEAVE_PLUGIN"), RTLD_NOW);

	percpu_free(percpu_new(long));
	if (!plugin)
		fprintf(stderr, "%s\n", dlerror());
	*(void **)&early_count = plugin ? dlsym(plugin, "plugin_count") : NULL;
}
#else
static void *count(void *arg)
{
	for (;;)
		early_count();
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (!early_count || argc < 2)
		return 2;
	late(argv[1]);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&thread, NULL, count, NULL);
	usleep(50000);
	return 0;
}
#endif
