/* SPDX-License-Identifier: MIT */
/*
 * The tests of words and of storms without Check, for builds that Check is not there for: other
 * machines, other compilers, other flags. Prints TAP.
 */
#include <stdio.h>
#include <stdlib.h>

#define require(condition)                                                                                   \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);                             \
			fflush(stdout);                                                                      \
			abort();                                                                             \
		}                                                                                            \
	} while (0)
#define PERCPU_UNMARKED /* areas of all types in plain pointers */
#include "ops/storm.h"
#include "ops/words.h"

#include <sys/wait.h>

static uint32_t __percpu *hits;

static void step(struct storm_thread *self, bool in_handler)
{
	percpu_inc(hits);
}

static void hits_in_a_storm(void)
{
	uint32_t sum = 0, steps;

	hits = percpu_new(uint32_t);
	steps = storm(step, 0.3);
	percpu_for_each_copy(i)
		sum += *percpu_ptr(hits, i);
	require(sum == steps);
	percpu_free(hits);
}

static void lists_and_stacks(void)
{
	struct percpu_list_node nodes[3];
	struct percpu_list __percpu *list = percpu_new(struct percpu_list);
	struct percpu__stack __percpu *stack =
		(struct percpu__stack *)percpu_alloc(sizeof(*stack) + 2 * sizeof(void *), 8);
	const bool has_stacks = percpu_mode() == PERCPU_MODE_RSEQ && PERCPU__HAS_SECTIONS;

	pin_to_nth(0);
	for (unsigned i = 0; i < 3; i++)
		percpu_list_push(list, &nodes[i]);
	require(percpu_list_pop(list) == &nodes[2]);
	require(percpu_list_pop_all(list) == &nodes[1] && nodes[1].next == &nodes[0] && !nodes[0].next);
	require(!percpu_list_pop(list) && !percpu_list_pop_all(list));
	require(!percpu__stack_push(stack, list) && !percpu__stack_pop(stack)); /* closed */
	percpu_this_ptr(stack)->limit = 2;
	require(!percpu__stack_pop(stack)); /* empty */
	require(percpu__stack_push(stack, &nodes[0]) == has_stacks);
	require(percpu__stack_push(stack, &nodes[1]) == has_stacks);
	require(!percpu__stack_push(stack, &nodes[2])); /* full */
	if (has_stacks) {
		percpu_this_ptr(stack)->limit = 0;
		require(!percpu__stack_push(stack, list) && !percpu__stack_pop(stack)); /* closed, not empty */
		percpu_this_ptr(stack)->limit = 2;
		require(percpu__stack_pop(stack) == &nodes[1] && percpu__stack_pop(stack) == &nodes[0]);
		require(!percpu__stack_pop(stack));
	}
	percpu_free(stack);
	percpu_free(list);
}

static void words(void)
{
	require(words_in(AS_IT_COMES));
}

static void words_atomic(void)
{
	require(words_in(ATOMIC));
}

static void words_fallback(void)
{
	words_in(CPU_TOO_HIGH);
}

static struct percpu_group group;
static struct percpu_counter counter;
static struct percpu_histogram histogram;

static void step_statistics(struct storm_thread *self, bool in_handler)
{
	uint64_t fields[3];

	percpu_group_add(&group, 1, 2, -1);
	percpu_counter_add(&counter, self->steps % 100 ? 1 : 100);
	percpu_counter_add(&counter, self->steps % 100 ? 0 : -99);
	percpu_histogram_record(&histogram, self->steps);
	percpu_group_read(&group, fields);
	must(fields[1] == 2 * fields[0] && fields[2] == 0 - fields[0]);
}

static void statistics_in_a_storm(void)
{
	struct percpu_histogram_data data;
	uint64_t fields[3], steps;

	require(!percpu_group_init(&group, 3) && !percpu_counter_init(&counter, 0, 0));
	require(!percpu_histogram_init(&histogram, NULL, 1, 1000000, 3));
	steps = storm(step_statistics, 0.3);
	percpu_group_read(&group, fields);
	require(fields[0] == steps);
	require(percpu_counter_sum(&counter) == (int64_t)steps && percpu_counter_reset(&counter) == (int64_t)steps);
	data.counts = malloc(histogram.shape.nr_buckets * sizeof(uint64_t));
	percpu_histogram_read(&histogram, &data);
	require(data.nr == steps && data.min == 0);
	free(data.counts);
	percpu_group_fini(&group);
	percpu_counter_fini(&counter);
	percpu_histogram_fini(&histogram);
}

static void words_unregistered(void)
{
	words_in(UNREGISTERED);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} tests[] = {
		{ "words as it comes", words },
		{ "words in atomic mode", words_atomic },
		{ "words on a CPU without a copy", words_fallback },
		{ "words in a thread without an area", words_unregistered },
		{ "lists and stacks", lists_and_stacks },
		{ "hits in a storm", hits_in_a_storm },
		{ "statistics in a storm", statistics_in_a_storm },
	};
	const unsigned nr = sizeof(tests) / sizeof(tests[0]);
	unsigned nr_failed = 0;

	for (unsigned i = 0; i < nr; i++) {
		int status = 0;
		pid_t child;

		fflush(stdout);
		child = fork();
		if (!child) {
			tests[i].run();
			fflush(stdout);
			_exit(0);
		}
		waitpid(child, &status, 0);
		nr_failed += !!status;
		printf("%sok %u - %s\n", status ? "not " : "", i + 1, tests[i].name);
	}
	printf("1..%u\n", nr);
	return !!nr_failed;
}
