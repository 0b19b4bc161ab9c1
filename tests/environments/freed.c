/* SPDX-License-Identifier: MIT */
/*
 * Uses memory after its free, or loses memory, as the argument says; or is correct, and has blocks
 * that only copies point to. For builds with a sanitizer, and for Valgrind.
 */
#include <percpu/percpu.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stats {
	uint64_t packets, bytes;
	void *behind;
};

static struct stats __percpu *stats;

__attribute__((noinline)) void allocate_them(void);
__attribute__((noinline)) void free_them(void);

void allocate_them(void)
{
	stats = percpu_new(struct stats);
}

void free_them(void)
{
	percpu_free(stats);
}

/* Every access is valid, and every block is reachable, if only from copies. */
static int be_good(void)
{
	for (unsigned i = 0; i < 1000; i++) {
		void __percpu *others[50];

		if (percpu_alloc_bulk(8 + i, 8, 50, others))
			return 1;
		percpu_for_each_copy(copy)
			memset(percpu_ptr((char __percpu *)others[i % 50], copy), 1, 8 + i);
		percpu_free_bulk(50, others);
		if (i % 100 == 0)
			percpu_trim(NULL);
	}
	allocate_them();
	percpu_for_each_copy(i)
		percpu_ptr(stats, i)->behind = malloc(1000 + i);
	percpu_inc(&stats->packets);
	percpu_add(&stats->bytes, 100);
	return percpu_sum(&stats->bytes) != 100;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "good";
	volatile uint64_t seen = 0;

	if (!strcmp(what, "good"))
		return be_good();
	allocate_them();
	if (!strcmp(what, "lost")) {
		/* Loses all but the last, whose address a register may still hold. */
		for (unsigned i = 0; i < 10; i++)
			percpu_ptr(stats, 0)->behind = malloc(1000);
		return 0;
	}
	percpu_inc(&stats->packets);
	free_them();
	if (!strcmp(what, "first"))
		seen += percpu_ptr(stats, 0)->packets;
	if (!strcmp(what, "fallback"))
		seen += percpu_ptr(stats, percpu_nr_copies() - 1)->bytes;
	if (!strcmp(what, "write"))
		percpu_this_ptr(stats)->bytes = 1;
	if (!strcmp(what, "operation"))
		percpu_inc(&stats->bytes);
	if (!strcmp(what, "reused")) {
		struct stats __percpu *others = percpu_new(struct stats); /* at the same address */

		seen += percpu_ptr(others, 0)->packets;
		percpu_free(others);
		seen += percpu_ptr(stats, 0)->packets;
	}
	printf("not noticed\n");
	return 0;
}
