/* SPDX-License-Identifier: MIT */
/*
 * Hands memory from thread to thread through a per-CPU list, and by nothing else: no report of ThreadSanitizer.
 * With an argument all use the same memory, whoever has it: that is one.
 */
#include <percpu/percpu.h>

#include <pthread.h>
#include <sched.h>

#define NR_TURNS 20000

struct message {
	struct percpu_list_node node;
	uint64_t a, b;
};

static struct percpu_list __percpu *list;
static bool is_plain;
static struct message messages[64];

static void *pass_on(void *unused)
{
	for (unsigned i = 0; i < NR_TURNS; i++) {
		struct percpu_list_node *next, *node = is_plain ? NULL : i % 8 ? percpu_list_pop(list) : percpu_list_pop_all(list);

		for (; node; node = next) {
			struct message *message = (struct message *)node;

			next = i % 8 ? NULL : node->next;
			message->a++;
			message->b += message->a;
			percpu_list_push(list, node);
		}
		if (is_plain)
			messages[0].b++;
		if (i % 64 == 0)
			sched_yield();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[4];

	is_plain = argc > 1;
	list = percpu_new(struct percpu_list);
	for (unsigned i = 0; i < 64; i++)
		percpu_list_push(list, &messages[i].node);
	for (unsigned i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, pass_on, NULL);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
