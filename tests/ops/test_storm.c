/* SPDX-License-Identifier: MIT */
/* Nothing is lost in a storm; a plain addition in its place loses. */
#include "harness/harness.h"

#include <linux/membarrier.h>
#include <stdio.h>

#define require(condition) ck_assert(condition)
#include "ops/storm.h"

#define STORM_SECONDS 0.7

/* ---- words: every width, every kind of update ---- */

static struct words {
	uint64_t add64, returned, exchanged;
	uint32_t add32;
	uint16_t add16;
	uint8_t add8;
	uint8_t untouched;
	uint64_t claimed;
} __percpu *words;

static void step_words(struct storm_thread *self, bool in_handler)
{
	uint64_t seen, found;

	percpu_add(&words->add64, 3);
	percpu_inc(&words->add32);
	percpu_inc(&words->add16);
	percpu_inc(&words->add8);
	percpu_add_return(&words->returned, 1);
	/* What an exchange takes out of one copy goes back into some copy. */
	percpu_add(&words->exchanged, percpu_xchg(&words->exchanged, 0) + 1);
	seen = percpu_read(&words->claimed);
	while ((found = percpu_cmpxchg(&words->claimed, seen, seen + 1)) != seen)
		seen = found;
}

static void storm_of_words(void)
{
	struct words sum = { 0 };
	uint64_t steps;

	words = percpu_new(struct words);
	steps = storm(step_words, STORM_SECONDS);
	percpu_for_each_copy(i) {
		const struct words *copy = percpu_ptr(words, i);

		sum.add64 += copy->add64;
		sum.add32 += copy->add32;
		sum.add16 += copy->add16;
		sum.add8 += copy->add8;
		sum.returned += copy->returned;
		sum.exchanged += copy->exchanged;
		sum.claimed += copy->claimed;
		ck_assert_uint_eq(copy->untouched, 0);
	}
	ck_assert_uint_eq(sum.add64, 3 * steps);
	ck_assert_uint_eq(sum.add32, (uint32_t)steps);
	ck_assert_uint_eq(sum.add16, (uint16_t)steps);
	ck_assert_uint_eq(sum.add8, (uint8_t)steps);
	ck_assert_uint_eq(sum.returned, steps);
	ck_assert_uint_eq(sum.exchanged, steps);
	ck_assert_uint_eq(sum.claimed, steps);
	percpu_free(words);
}

START_TEST(words_as_it_comes)
{
	storm_of_words();
}
END_TEST

START_TEST(words_in_atomic_mode)
{
	setenv("PERCPU_OPTIONS", "mode:atomic", 1);
	storm_of_words();
	ck_assert_int_eq(percpu_mode(), PERCPU_MODE_ATOMIC);
}
END_TEST

START_TEST(words_with_one_cpu_of_many)
{
	setenv("PERCPU_OPTIONS", "cpus:1", 1);
	storm_of_words();
}
END_TEST

static void step_with_and_without_area(struct storm_thread *self, bool in_handler)
{
	if (self->number % 2 && self->steps == 100 && !in_handler && percpu_mode() == PERCPU_MODE_RSEQ)
		unregister_rseq();
	step_words(self, in_handler);
}

START_TEST(words_when_threads_lose_their_areas)
{
	uint64_t steps, sum = 0;

	words = percpu_new(struct words);
	steps = storm(step_with_and_without_area, STORM_SECONDS);
	percpu_for_each_copy(i)
		sum += percpu_ptr(words, i)->add64;
	ck_assert_uint_eq(sum, 3 * steps);
	percpu_free(words);
}
END_TEST

/* The same layout, without the operations: a race on purpose. */
__attribute__((no_sanitize("thread"))) static void step_plain(struct storm_thread *self, bool in_handler)
{
	volatile uint64_t *copy = &percpu_this_ptr(words)->add64;
	const uint64_t seen = *copy;

	for (volatile unsigned spin = 0; spin < 50; spin++)
		;
	*copy = seen + 3;
}

START_TEST(control_loses_some)
{
	bool lost = false;

	for (unsigned tries = 0; tries < 20 && !lost; tries++) {
		uint64_t steps, sum = 0;

		words = percpu_new(struct words);
		steps = storm(step_plain, STORM_SECONDS);
		percpu_for_each_copy(i)
			sum += percpu_ptr(words, i)->add64;
		lost = sum < 3 * steps;
		percpu_free(words);
	}
	ck_assert_msg(lost, "a plain addition lost nothing: this storm proves nothing");
}
END_TEST

/* ---- lists: every node has one owner at a time, and none gets lost ---- */

#define NR_NODES 64
static struct item {
	struct percpu_list_node node;
	uint32_t owned;
} items[NR_NODES];
static struct percpu_list __percpu *list;

static void own(struct item *item)
{
	must(!__atomic_exchange_n(&item->owned, 1, __ATOMIC_ACQUIRE));
}

static void disown(struct item *item)
{
	must(__atomic_exchange_n(&item->owned, 0, __ATOMIC_RELEASE));
}

/* Kept from one step to the next, by a thread and by the handlers on top of it. */
static struct percpu_list_node *kept[NR_THREADS][2];

static void give(struct percpu_list_node *node)
{
	if (!node)
		return;
	node->next = (void *)1; /* no pop may follow it */
	disown((struct item *)node);
	percpu_list_push(list, node);
}

static struct percpu_list_node *take(void)
{
	struct percpu_list_node *node = percpu_list_pop(list);

	if (node)
		own((struct item *)node);
	return node;
}

/* Leaves the same head with another node behind it: the trap of lists without a tag. */
static void step_list(struct storm_thread *self, bool in_handler)
{
	struct percpu_list_node *node, *next, *first = take(), *second = take();

	give(kept[self->number][in_handler]);
	kept[self->number][in_handler] = second;
	give(first);
	if (self->steps % 256)
		return;
	for (node = percpu_list_pop_all(list); node; node = next) {
		next = node->next;
		own((struct item *)node);
		give(node);
	}
}

static void storm_of_lists(void)
{
	unsigned nr = 0;

	list = percpu_new(struct percpu_list);
	for (unsigned i = 0; i < NR_NODES; i++)
		percpu_list_push(list, &items[i].node);
	storm(step_list, STORM_SECONDS);
	percpu_for_each_copy(i) {
		struct percpu_list_node *node = percpu_ptr(list, i)->head;

		for (; node; node = node->next, nr++)
			own((struct item *)node);
	}
	for (unsigned i = 0; i < NR_THREADS; i++)
		nr += !!kept[i][0] + !!kept[i][1];
	ck_assert_uint_eq(nr, NR_NODES);
	percpu_free(list);
}

START_TEST(lists_as_it_comes)
{
	storm_of_lists();
}
END_TEST

START_TEST(lists_in_atomic_mode)
{
	setenv("PERCPU_OPTIONS", "mode:atomic", 1);
	storm_of_lists();
}
END_TEST

START_TEST(lists_with_one_cpu_of_many)
{
	setenv("PERCPU_OPTIONS", "cpus:1", 1);
	storm_of_lists();
}
END_TEST

/* ---- stacks, with a closer who takes them over ---- */

#define STACK_SLOTS 8
static struct percpu__stack __percpu *stack;
static uint32_t outside[NR_NODES]; /* items in no stack and in nobody's hand */
static uint64_t nr_popped, nr_taken_over;

static void put_outside(struct item *item)
{
	disown(item);
	__atomic_store_n(&outside[item - items], 1, __ATOMIC_RELEASE);
}

static struct item *take_outside(void)
{
	for (unsigned i = 0; i < NR_NODES; i++)
		if (__atomic_exchange_n(&outside[i], 0, __ATOMIC_ACQUIRE)) {
			own(&items[i]);
			return &items[i];
		}
	return NULL;
}

/* Closes the stack of some CPU, takes what it holds, opens it again. */
static void take_over(unsigned cpu)
{
	struct percpu__stack *copy = percpu_ptr(stack, cpu);
	uint32_t nr;

	__atomic_store_n(&copy->limit, 0, __ATOMIC_RELAXED);
	syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0);
	nr = __atomic_load_n(&copy->nr, __ATOMIC_RELAXED);
	must(nr <= STACK_SLOTS);
	for (volatile unsigned spin = 0; spin < 1000; spin++)
		must(__atomic_load_n(&copy->nr, __ATOMIC_RELAXED) == nr);
	for (unsigned i = 0; i < nr; i++) {
		own(copy->slot[i]);
		put_outside(copy->slot[i]);
	}
	nr_taken_over += nr;
	copy->nr = 0;
	__atomic_store_n(&copy->limit, STACK_SLOTS, __ATOMIC_RELEASE);
}

static void step_stack(struct storm_thread *self, bool in_handler)
{
	struct item *item = (struct item *)percpu__stack_pop(stack);

	if (item) {
		own(item);
		__atomic_fetch_add(&nr_popped, 1, __ATOMIC_RELAXED);
	} else {
		item = take_outside();
	}
	if (item) {
		disown(item);
		if (!percpu__stack_push(stack, item)) {
			own(item);
			put_outside(item);
		}
	}
	if (!self->number && !in_handler && self->steps % 64 == 0)
		take_over(self->steps / 64 % percpu_nr_cpus());
}

START_TEST(stacks_taken_over)
{
	unsigned nr = 0;

	stack = (struct percpu__stack *)percpu_alloc(sizeof(*stack) + STACK_SLOTS * sizeof(void *), 8);
	if (percpu_mode() != PERCPU_MODE_RSEQ ||
	    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0)) {
		ck_assert(!percpu__stack_push(stack, items) && !percpu__stack_pop(stack));
		SKIP("no rseq with membarrier here: stacks take nothing");
	}
	percpu_for_each_copy(i)
		percpu_ptr(stack, i)->limit = STACK_SLOTS;
	for (unsigned i = 0; i < NR_NODES; i++)
		outside[i] = 1;
	storm(step_stack, STORM_SECONDS);
	ck_assert_uint_gt(nr_popped, 0);
	ck_assert_uint_gt(nr_taken_over, 0);
	percpu_for_each_copy(i)
		for (unsigned at = 0; at < percpu_ptr(stack, i)->nr; at++, nr++)
			own(percpu_ptr(stack, i)->slot[at]);
	for (unsigned i = 0; i < NR_NODES; i++)
		nr += outside[i];
	ck_assert_uint_eq(nr, NR_NODES);
	percpu_free(stack);
}
END_TEST

TEST_MAIN("ops/storm", 120, words_as_it_comes, words_in_atomic_mode, words_with_one_cpu_of_many,
	  words_when_threads_lose_their_areas, control_loses_some, lists_as_it_comes, lists_in_atomic_mode,
	  lists_with_one_cpu_of_many, stacks_taken_over)
