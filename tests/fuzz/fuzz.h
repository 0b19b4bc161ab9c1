/* SPDX-License-Identifier: MIT */
/*
 * A libFuzzer target reads steps from its input, does them, and compares the library with a model.
 * The same targets run under a plain main (replay.c), on stored inputs and on random ones.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define must(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                      \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

struct input {
	const uint8_t *at, *end;
};

/* Returns: the next byte, or 0 at the end of the input. */
static inline uint8_t next_byte(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

static inline uint32_t next_word(struct input *input)
{
	const uint32_t low = next_byte(input);

	return low | (uint32_t)next_byte(input) << 8;
}

/* Returns: a number from 0 to 2^19, of all orders of magnitude. */
static inline size_t next_size(struct input *input)
{
	const uint32_t word = next_word(input);

	return (size_t)(word & 0xfff) << (word >> 13);
}

#endif
