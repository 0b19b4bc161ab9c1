/* SPDX-License-Identifier: MIT */
/* Processes, time and CPUs: process.c, self.c, clock.c, cpu.c. */
#ifndef PERCPU_PLATFORM_PROCESS_H
#define PERCPU_PLATFORM_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- process.c ---- */

/*
 * Calls visit for every entry of the folder that is a number, until visit returns something else
 * than 0.
 */
int percpu__for_each_number(const char *path, int (*visit)(int number, void *arg), void *arg);

/* Reads the text of a symbolic link, cut to size - 1 bytes. Returns: its bytes or -errno. */
ssize_t percpu__read_link(const char *path, char *text, size_t size);

/* Returns: true if the descriptor behind a link in /proc/PID/fd was opened for writing. */
bool percpu__link_can_write(const char *path);

pid_t percpu__own_pid(void);

/* Returns: the effective user of a process, which no process can hide; -errno. */
int64_t percpu__process_user(pid_t pid);

/* Returns: a descriptor for percpu__has_ended, or -errno. */
int percpu__pidfd_open(pid_t pid);
bool percpu__has_ended(int pidfd);

/* ---- self.c ---- */

/*
 * percpu__generation - a number that identifies this process among its ancestors and descendants,
 * however they were forked. Never 0. A child of vfork, or of clone with CLONE_VM, has the number of
 * its parent, as it has its memory.
 * percpu__generation_forked - for kernels that do not tell: called in the child.
 * Context: async-signal-safe.
 */
uint64_t percpu__generation(void);
void percpu__generation_forked(void);

/* Returns: a word that identifies the caller to other processes; 0: /proc does not tell. */
uint64_t percpu__process_word(void);

/*
 * Returns: where such words are valid: equal for processes that number processes, and count time,
 * alike. 0: unknown.
 */
uint64_t percpu__process_space(void);

/*
 * Returns: true if the process of a word of the caller's space has ended; false if it lives, or if
 * that is unknown.
 */
bool percpu__process_is_gone(uint64_t word);

/* ---- clock.c ---- */

/* Returns: milliseconds, monotonic in each thread; 0 if the kernel refuses. */
uint64_t percpu__now_ms(void);

/*
 * Returns: how long after the first time the second was; 0 if it was before. The times may be of
 * different threads.
 */
static inline uint64_t percpu__ms_between(uint64_t first, uint64_t second)
{
	return second > first ? second - first : 0;
}

/* For tests: sets percpu__now_ms to ms until the next call; 0: the kernel's time again. */
void percpu__set_clock(uint64_t ms);

/* Returns: the CPU time of this thread, in nanoseconds. */
uint64_t percpu__thread_time(void);

/* ---- cpu.c ---- */

/* Returns: the CPU of the caller a moment ago; UINT_MAX if the kernel does not say. */
unsigned percpu__getcpu(void);

/*
 * Returns: the bits in the kernel's CPU masks. *nr_allowed: 1 + the highest CPU that the caller may
 * use; 0: unknown.
 */
unsigned percpu__cpu_mask_bits(unsigned *nr_allowed);

/* Returns: the CPUs that libc calls configured. */
unsigned percpu__configured_cpus(void);

#endif
