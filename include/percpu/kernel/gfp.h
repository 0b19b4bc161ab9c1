/* SPDX-License-Identifier: MIT */
/*
 * The kernel's flags of allocations, which mean nothing here but __GFP_ZERO: nobody waits and
 * nothing is reclaimed. A file that defines GFP_KERNEL before keeps its own.
 *
 * Not here: __GFP_NOFAIL, as allocations may fail, and the zones (GFP_DMA).
 */
#ifndef PERCPU_KERNEL_GFP_H
#define PERCPU_KERNEL_GFP_H

#ifndef GFP_KERNEL
typedef unsigned gfp_t;
#define __GFP_ZERO 1u
#define GFP_KERNEL 0u
#define GFP_KERNEL_ACCOUNT 0u
#define GFP_ATOMIC 0u
#define GFP_NOWAIT 0u
#define GFP_NOFS 0u
#define GFP_NOIO 0u
#define GFP_USER 0u
#define GFP_HIGHUSER 0u
#define GFP_HIGHUSER_MOVABLE 0u
#define __GFP_NOWARN 0u
#define __GFP_NORETRY 0u
#define __GFP_RETRY_MAYFAIL 0u
#define __GFP_ACCOUNT 0u
#define __GFP_HIGH 0u
#define __GFP_HIGHMEM 0u
#define __GFP_MOVABLE 0u
#define __GFP_RECLAIMABLE 0u
#define __GFP_HARDWALL 0u
#define __GFP_THISNODE 0u
#define __GFP_COMP 0u
#define __GFP_WRITE 0u
#define __GFP_IO 0u
#define __GFP_FS 0u
#define __GFP_DIRECT_RECLAIM 0u
#define __GFP_KSWAPD_RECLAIM 0u
#define __GFP_RECLAIM 0u
#define __GFP_MEMALLOC 0u
#define __GFP_NOMEMALLOC 0u
#define __GFP_NOLOCKDEP 0u
#endif

#endif
