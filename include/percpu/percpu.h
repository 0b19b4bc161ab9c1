/* SPDX-License-Identifier: MIT */
/* All of libpercpu's own interface; <percpu/kernel.h> gives it the kernel's spelling. */
#ifndef PERCPU_PERCPU_H
#define PERCPU_PERCPU_H

#include <percpu/alloc.h>
#include <percpu/cache.h>
#include <percpu/counter.h>
#include <percpu/fallback.h>
#include <percpu/histogram.h>
#include <percpu/ops.h>
#include <percpu/pool.h>
#include <percpu/group.h>
#include <percpu/publish.h>
#include <percpu/static.h>
#include <percpu/sum.h>
#include <percpu/version.h>

#endif
