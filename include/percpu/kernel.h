/* SPDX-License-Identifier: MIT */
/*
 * The kernel's spelling, so that kernel code compiles unchanged: all parts of it. A port that has a
 * slab.h or flags of allocations of its own includes the parts that it wants. percpu-kernel(7)
 * lists the names, and what is left out.
 */
#ifndef PERCPU_KERNEL_H
#define PERCPU_KERNEL_H

#include <percpu/kernel/percpu.h>

#include <percpu/kernel/counter.h>
#include <percpu/kernel/gfp.h>
#include <percpu/kernel/slab.h>

#endif
