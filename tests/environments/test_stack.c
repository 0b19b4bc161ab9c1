/* SPDX-License-Identifier: MIT */
/*
 * Async-signal-safe functions fit on a small signal stack, also as the first call of the process.
 * Each runs in a process of its own, on an alternate stack that has ROOM bytes beside the kernel's
 * frame, and no memory below it.
 *
 *	test_stack		all of them, under several options
 *	test_stack NUMBER	one of them
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <percpu/percpu.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#define ROOM 4096u

static long *word;
static uint64_t fields[2], sums[2], counts[4000];
static struct percpu_list *list;
static struct percpu_list_node node;
static struct percpu_counter counter;
static struct percpu_histogram histogram;
static struct percpu_histogram_data data = { .counts = counts };
static struct percpu_group group;
static volatile uintptr_t seen;

/* ---- as the first call ---- */

static void ask_mode(void) { seen = percpu_mode(); }
static void ask_reason(void) { seen = percpu_mode_reason()[0]; }
static void ask_cpus(void) { seen = percpu_nr_cpus(); }
static void ask_copies(void) { seen = percpu_nr_copies(); }
static void ask_cpu(void) { seen = percpu_this_cpu(); }
static void ask_size_of_nothing(void) { seen = percpu_usable_size(NULL); }

/* ---- after a start, on objects made before ---- */

static void make(void)
{
	word = percpu_new(long);
	list = percpu_new(struct percpu_list);
	if (!word || !list || percpu_counter_init(&counter, 0, 1) || percpu_group_init(&group, 2) ||
	    percpu_histogram_init(&histogram, NULL, 0, 1000, 5))
		_exit(3);
}

static void operate(void)
{
	percpu_add(word, 5);
	seen = percpu_add_return(word, 1);
	seen = percpu_cmpxchg(word, 6, 7);
	seen = percpu_read(word);
}

static void operate_fallback(void) { percpu_fallback_add(word, 3); }
static void sum(void) { seen = percpu_sum(word); }
static void sum_many(void) { percpu_sum_u64(sums, (uint64_t *)word, 1); }
static void ask_size(void) { seen = percpu_usable_size(word); }

static void use_list(void)
{
	percpu_list_push(list, &node);
	seen = (uintptr_t)percpu_list_pop(list);
	seen = (uintptr_t)percpu_list_pop_all(list);
}

static void count(void)
{
	percpu_counter_add(&counter, 1000000);
	seen = percpu_counter_read(&counter);
	seen = percpu_counter_sum(&counter);
	seen = percpu_counter_compare(&counter, 5);
	percpu_counter_set(&counter, 7);
	seen = percpu_counter_reset(&counter);
}

static void record(void)
{
	percpu_histogram_record(&histogram, 500);
	percpu_histogram_read(&histogram, &data);
	seen = percpu_histogram_percentile(&data, 50);
}

/*
 * In atomic mode every copy is marked as claimed, so that the second addition has to make a page.
 */
static void add_together(void)
{
	percpu_group_add(&group, 1, 2);
	percpu_for_each_copy(i)
		*percpu_ptr((uint64_t *)group.of[2], i) |= percpu_mode() == PERCPU_MODE_ATOMIC ? UINT64_C(1) << 63 : 0;
	percpu_group_add(&group, 1, 2);
	percpu_group_read(&group, fields);
}

static const struct call {
	const char *name;
	void (*call)(void);
	void (*prepare)(void);
} calls[] = {
	{ "percpu_mode", ask_mode, NULL },
	{ "percpu_mode_reason", ask_reason, NULL },
	{ "percpu_nr_cpus", ask_cpus, NULL },
	{ "percpu_nr_copies", ask_copies, NULL },
	{ "percpu_this_cpu", ask_cpu, NULL },
	{ "percpu_usable_size of NULL", ask_size_of_nothing, NULL },
	{ "operations", operate, make },
	{ "percpu_fallback_add", operate_fallback, make },
	{ "percpu_sum", sum, make },
	{ "percpu_sum_u64", sum_many, make },
	{ "percpu_usable_size", ask_size, make },
	{ "lists", use_list, make },
	{ "counters", count, make },
	{ "histograms", record, make },
	{ "groups", add_together, make },
};
#define NR_CALLS (sizeof(calls) / sizeof(calls[0]))

/* ---- one of them ---- */

static const struct call *chosen;

static void handle(int number)
{
	chosen->call();
}

/* Bytes with another value were written by the handler. */
#define PAINT 0xa5

static int run(const struct call *call)
{
	const size_t frame = getauxval(AT_MINSIGSTKSZ) ? getauxval(AT_MINSIGSTKSZ) : 2048, size = frame + ROOM;
	const size_t page = sysconf(_SC_PAGESIZE), mapped = (size + page - 1) / page * page;
	char *memory = mmap(NULL, mapped + 64 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *const lowest = memory + 64 * page;
	const stack_t stack = { .ss_sp = lowest, .ss_size = size };
	const struct sigaction action = { .sa_handler = handle, .sa_flags = SA_ONSTACK };
	size_t left = 0;

	chosen = call;
	if (call->prepare)
		call->prepare();
	if (memory == MAP_FAILED || mprotect(lowest, mapped, PROT_READ | PROT_WRITE))
		return 3;
	memset(lowest, PAINT, size);
	if (sigaltstack(&stack, NULL) || sigaction(SIGUSR1, &action, NULL) || raise(SIGUSR1))
		return 3;
	while (left < size && (unsigned char)lowest[left] == PAINT)
		left++;
	printf("# %s: %zu of %zu bytes, frame included\n", call->name, size - left, size);
	return 0;
}

/* ---- all of them ---- */

static bool ends_well(const char *self, size_t number, const char *options)
{
	char text[16];
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child) {
		snprintf(text, sizeof(text), "%zu", number);
		setenv("PERCPU_OPTIONS", options, 1);
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO); /* warnings about options */
		execl(self, self, text, NULL);
		_exit(3);
	}
	return waitpid(child, &status, 0) == child && status == 0;
}

int main(int argc, char **argv)
{
	static const char *const options[] = { "", "mode:atomic", "cpus:512", "no such option" };
	unsigned nr = 0;

#if PERCPU__ASAN || defined(__SANITIZE_THREAD__)
	return printf("1..0 # SKIP a sanitizer's frames are larger\n") < 0;
#endif
	if (argc > 1)
		return run(&calls[strtoul(argv[1], NULL, 10) % NR_CALLS]);
	for (size_t number = 0; number < NR_CALLS; number++)
		for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
			printf("%sok %u - %s, PERCPU_OPTIONS=%s\n", ends_well("/proc/self/exe", number, options[i]) ? "" : "not ",
			       ++nr, calls[number].name, options[i]);
	printf("1..%u\n", nr);
	return 0;
}
