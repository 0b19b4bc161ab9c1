/* SPDX-License-Identifier: MIT */
/*
 * Puts a fresh process into one of the states that operations know, before the library is started.
 * A file that includes it says what require(condition) does.
 */
#ifndef TESTS_OPS_MODES_H
#define TESTS_OPS_MODES_H

#include <percpu/percpu.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

enum state {
	AS_IT_COMES,  /* rseq mode wherever the machine has it */
	ATOMIC,       /* asked for by the option */
	CPU_TOO_HIGH, /* the library thinks there is one CPU; this is another */
	UNREGISTERED, /* rseq mode, but this thread gave its area up */
	NR_STATES
};

/* Takes the thread's rseq area from the kernel. Its length is what libc registered, known only to libc. */
static inline bool unregister_rseq(void)
{
#if defined(__x86_64__) || defined(__aarch64__)
#ifdef __x86_64__
	const unsigned signature = 0x53053053;
	char *self;

	__asm__("movq %%fs:0, %0" : "=r"(self));
#else
	const unsigned signature = 0xd428bc00;
	char *self = (char *)__builtin_thread_pointer();
#endif
	if (!&__rseq_offset)
		return false;
	for (unsigned length = 32; length <= 512; length++)
		if (!syscall(SYS_rseq, self + __rseq_offset, length, 1 /* unregister */, signature))
			return true;
#endif
	return false;
}

/* Binds the thread to the nth CPU that it may use. Returns the CPU, or -1. */
static inline int pin_to_nth(unsigned n)
{
	cpu_set_t allowed, one;

	sched_getaffinity(0, sizeof(allowed), &allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || n--)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		return sched_setaffinity(0, sizeof(one), &one) ? -1 : cpu;
	}
	return -1;
}

/*
 * Returns: the number of the copy that operations must use from now on; -1: this machine cannot be put
 * into that state.
 */
static inline int enter(enum state state)
{
	int cpu = pin_to_nth(state == CPU_TOO_HIGH ? 1 : 0);

	unsetenv("PERCPU_OPTIONS");
	if (state == ATOMIC)
		setenv("PERCPU_OPTIONS", "mode:atomic", 1);
	if (state == CPU_TOO_HIGH)
		setenv("PERCPU_OPTIONS", "cpus:1", 1);
	if (cpu < 0 || (state == CPU_TOO_HIGH && cpu < 1))
		return -1;
	require(state != ATOMIC || percpu_mode() == PERCPU_MODE_ATOMIC);
	require(state != CPU_TOO_HIGH || percpu_nr_cpus() == 1);
	if (state == UNREGISTERED && (percpu_mode() != PERCPU_MODE_RSEQ || !unregister_rseq()))
		return -1;
	return state == CPU_TOO_HIGH || state == UNREGISTERED ? (int)percpu_nr_copies() - 1 : cpu;
}

#endif
