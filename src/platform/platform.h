/* SPDX-License-Identifier: MIT */
/*
 * The lowest layer: everything that ties the library to Linux and libc. Higher layers make no
 * system call, read no environment and map no memory except by these functions. Three exceptions:
 * readers of published pools use malloc, and libnuma and hwloc make system calls of their own.
 *
 *	vm.h		address ranges: page.c, vm.c, thp.c, numa.c, resident.c, locked.c, zero.c
 *	file.h		small files of /proc and /sys, memfds: file.c, memfd.c
 *	process.h	processes, time, CPUs: process.c, self.c, clock.c, cpu.c
 *	rseq.h		restartable sequences: rseq.c, kernel.c, abort.c, fence.c
 *	lock.h		locks with ranks, and what each protects: lock.c
 *	ledger.h	what an unloaded copy of the library leaves: ledger.c
 *	report.h	fatal errors and warnings: report.c, the catalogue in faults.h
 *	sanitizer.h	AddressSanitizer, ThreadSanitizer, Valgrind: sanitizer.c
 *	options.h	PERCPU_OPTIONS: options.c
 *	sys.h		system calls; for this layer alone
 */
#ifndef PERCPU_PLATFORM_H
#define PERCPU_PLATFORM_H

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#define percpu__likely(x) __builtin_expect(!!(x), 1)
#define percpu__unlikely(x) __builtin_expect(!!(x), 0)

#include "platform/file.h"
#include "platform/ledger.h"
#include "platform/lock.h"
#include "platform/options.h"
#include "platform/process.h"
#include "platform/report.h"
#include "platform/rseq.h"
#include "platform/sanitizer.h"
#include "platform/vm.h"

#endif
