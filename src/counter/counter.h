/* SPDX-License-Identifier: MIT */
/* The floor of counters: what is computed over all copies. Its interface is <percpu/sum.h>. */
#ifndef PERCPU_COUNTER_FLOOR_H
#define PERCPU_COUNTER_FLOOR_H

#include <percpu/sum.h>

#endif
