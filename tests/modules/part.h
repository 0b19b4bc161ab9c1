/* SPDX-License-Identifier: MIT */
/* The second file of a program, or its plugin: variables of both kinds, and a cache. */
#ifndef TESTS_MODULES_PART_H
#define TESTS_MODULES_PART_H

#include <stdint.h>

void part_count(void);
uint64_t part_sum(void);

#endif
