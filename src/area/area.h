/* SPDX-License-Identifier: MIT */
/*
 * The floor of offsets: which ranges of a unit are taken. Pure C: no system call, no CPU, no memory
 * of its own. Quantities are granules unless the name says otherwise.
 *
 *   space   the offsets of one unit, cut into areas, each allocated or free (space.c)
 *   shelf   spaces side by side: finds the space that fits a request best (shelf.c)
 */
#ifndef PERCPU_AREA_H
#define PERCPU_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PERCPU__GRANULE_SHIFT 3
#define PERCPU__GRANULE (1u << PERCPU__GRANULE_SHIFT) /* bytes */
#define PERCPU__UNIT_GRANULES 32768u

#endif
