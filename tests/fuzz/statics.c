/* SPDX-License-Identifier: MIT */
/*
 * Modules that are loaded and unloaded: their variables have their initial values, keep what is
 * written, and are freed with them.
 */
#include "fuzz/fuzz.h"

#include <percpu/percpu.h>
#include <string.h>

#define NR_MODULES 24 /* the even ones in the program, the odd ones in no module that the loader knows */
#define MAX_BYTES 1500

static struct module {
	char *p; /* NULL: not loaded */
	size_t size;
	uint8_t seed; /* of the variables' values */
} modules[NR_MODULES];

static size_t nr_attached, nr_set_aside, nr_others;

static size_t nr_live(void)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	must(!percpu_pool_stats(NULL, &stats));
	return stats.nr_live;
}

/* Returns: an address in the program, or outside of all modules of the process. */
static const void *key_of(unsigned which)
{
	static const char in_program[NR_MODULES];
	static char *elsewhere;

	if (!elsewhere)
		elsewhere = malloc(NR_MODULES);
	must(elsewhere);
	return which % 2 ? elsewhere + which : in_program + which;
}

/* Only zeros if the seed is 0; some zeros for every seed. */
static char byte_of(uint8_t seed, unsigned copy, size_t at)
{
	return seed && (seed + at / 8) % 3 ? 1 + (seed + 31 * copy + at) % 255 : 0;
}

static void check(const struct module *module, bool is_new)
{
	percpu_for_each_copy(i)
		for (size_t at = 0; at < module->size; at++)
			must(percpu_ptr(module->p, i)[at] == byte_of(module->seed, is_new ? 0 : i, at));
}

static void attach(struct input *input)
{
	static char initial[MAX_BYTES];
	const unsigned which = next_byte(input) % NR_MODULES;
	struct module *module = &modules[which], made = { .size = 1 + next_size(input) % MAX_BYTES };
	const size_t align = (size_t)1 << next_byte(input) % 13;

	made.seed = next_byte(input);
	for (size_t at = 0; at < made.size; at++)
		initial[at] = byte_of(made.seed, 0, at);
	made.p = (char *)percpu_static_attach(key_of(which), made.seed ? initial : NULL, made.size, align);
	must(made.p);
	if (module->p) {
		must(made.p == module->p);
		return;
	}
	if (which % 2 == 0)
		nr_set_aside = 0;
	must((uintptr_t)made.p % align == 0);
	*module = made;
	nr_attached++;
	check(module, true);
	percpu_for_each_copy(i)
		for (size_t at = 0; at < module->size; at++)
			percpu_ptr(module->p, i)[at] = byte_of(module->seed, i, at);
}

/*
 * A module in the program may only be about to exit: its memory is freed when the next one in the
 * program attaches.
 */
static void detach(struct input *input)
{
	const unsigned which = next_byte(input) % NR_MODULES;
	struct module *module = &modules[which];

	percpu_static_detach(key_of(which));
	if (!module->p)
		return;
	check(module, false);
	module->p = NULL;
	nr_attached--;
	nr_set_aside += which % 2 == 0;
}

/* Other allocations, so that memory passes between them and the variables. */
static void disturb(struct input *input)
{
	const size_t size = 1 + next_size(input) % MAX_BYTES;
	char *p = (char *)percpu_alloc(size, 8);

	must(p);
	percpu_for_each_copy(i)
		memset(percpu_ptr(p, i), 0xff, size);
	percpu_free(p);
}

static void check_all(void)
{
	must(nr_live() == nr_others + nr_attached + nr_set_aside);
	for (unsigned i = 0; i < NR_MODULES; i++)
		if (modules[i].p)
			check(&modules[i], false);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	setenv("PERCPU_OPTIONS", "cpus:3", 0);
	nr_others = nr_live();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static void (*const list[])(struct input *) = { attach, attach, detach, disturb };
	struct input input = { bytes, bytes + size };
	unsigned nr = 0;

	while (input.at < input.end) {
		list[next_byte(&input) % (sizeof(list) / sizeof(list[0]))](&input);
		if (++nr % 16 == 0)
			check_all();
	}
	check_all();
	for (unsigned i = 0; i < NR_MODULES; i++) {
		const uint8_t which = i;

		detach(&(struct input){ &which, &which + 1 });
	}
	check_all();
	return 0;
}
