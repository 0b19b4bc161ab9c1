/* SPDX-License-Identifier: MIT */
/*
 * Hands memory from thread to thread in the way that its argument names, without other
 * synchronisation: ThreadSanitizer must not report a race. With "plainly" all threads use the same
 * memory, which it must report.
 */
#include <percpu/percpu.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>

#define NR_TURNS 20000
#define NR_THREADS 4
#define NR_HELD 40

struct message {
	struct percpu_list_node node;
	uint64_t a, b;
};

static struct percpu_list __percpu *list;
static struct message *__percpu *slot;
static struct percpu_cache *cache;
static struct message messages[64];

static void use(struct message *message)
{
	message->a++;
	message->b += message->a;
}

static void through_a_list(unsigned turn, void **held)
{
	struct percpu_list_node *next, *node = turn % 8 ? percpu_list_pop(list) : percpu_list_pop_all(list);

	for (; node; node = next) {
		next = turn % 8 ? NULL : node->next;
		use((struct message *)node);
		percpu_list_push(list, node);
	}
}

/* Objects are held for a while, so that those of several slabs and CPUs are in use. */
static void through_a_cache(unsigned turn, void **held)
{
	const unsigned at = turn * 7 % NR_HELD;

	if (turn % 1024 == 0)
		percpu_cache_shrink(cache);
	if (turn % 64 == 5) {
		void *some[20];

		if (percpu_cache_alloc_bulk(cache, 20, some))
			return;
		for (unsigned i = 0; i < 20; i++)
			use(some[i]);
		percpu_cache_free_bulk(cache, 20, some);
		return;
	}
	if (!held[at]) {
		held[at] = percpu_cache_alloc(cache);
		use(held[at]);
		return;
	}
	use(held[at]);
	if (turn % 16 == 3)
		percpu_cache_free_to(cache, held[at], turn % percpu_nr_cpus());
	else
		percpu_cache_free(cache, held[at]);
	held[at] = NULL;
}

/* One message for each CPU, and one in hand. */
static void through_pointers(unsigned turn, void **held)
{
	struct message *message = held[0] ? held[0] : percpu_cache_alloc(cache);

	use(message);
	if (turn % 3 == 0 && !percpu_cmpxchg(slot, NULL, message))
		message = NULL;
	else
		message = percpu_xchg(slot, message);
	held[0] = message;
	if (message)
		use(message);
}

static void through_areas(unsigned turn, void **held)
{
	struct message __percpu *area = percpu_new(struct message);

	percpu_for_each_copy(i)
		use(percpu_ptr(area, i));
	percpu_free(area);
	if (turn % 1024 == 0)
		percpu_trim(NULL);
}

static void plainly(unsigned turn, void **held)
{
	use(&messages[0]);
}

static const struct way {
	const char *name;
	void (*turn)(unsigned turn, void **held);
} ways[] = {
	{ "list", through_a_list }, { "pointers", through_pointers }, { "cache", through_a_cache },
	{ "areas", through_areas }, { "plainly", plainly },
};

static void *pass_on(void *argument)
{
	const struct way *way = argument;
	void *held[NR_HELD] = { NULL };

	for (unsigned i = 0; i < NR_TURNS; i++) {
		way->turn(i, held);
		if (i % 64 == 0)
			sched_yield();
	}
	percpu_cache_free_bulk(cache, NR_HELD, held);
	return NULL;
}

int main(int argc, char **argv)
{
	const struct way *way = ways;
	pthread_t threads[NR_THREADS];

	while (argc > 1 && strcmp(way->name, argv[1]))
		if (++way == ways + sizeof(ways) / sizeof(ways[0]))
			return 2;
	list = percpu_new(struct percpu_list);
	slot = percpu_new(struct message *);
	cache = percpu_cache_create("messages", sizeof(struct message), 0, 0, NULL);
	for (unsigned i = 0; i < 64; i++)
		percpu_list_push(list, &messages[i].node);
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_create(&threads[i], NULL, pass_on, (void *)(uintptr_t)way);
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
