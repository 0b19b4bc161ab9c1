/* SPDX-License-Identifier: MIT */
/* Restartable sequences: rseq.c, kernel.c, abort.c, fence.c. */
#ifndef PERCPU_PLATFORM_RSEQ_H
#define PERCPU_PLATFORM_RSEQ_H

#include <stdbool.h>
#include <stddef.h>

/* ---- rseq.c ---- */

enum percpu__rseq_state {
	PERCPU__RSEQ_USABLE = 1,
	PERCPU__RSEQ_FORCED,     /* usable because the user says so, on a doubtful kernel */
	PERCPU__RSEQ_CHECKED,    /* usable: aborts were seen on a doubtful kernel */
	PERCPU__RSEQ_ABSENT,
	PERCPU__RSEQ_OFF,
	PERCPU__RSEQ_STRANGE,
	PERCPU__RSEQ_BAD_KERNEL, /* doubtful, and seen not to abort */
	PERCPU__RSEQ_DOUBTED,    /* doubtful, and nothing could be seen */
	/* Set by the caller of these functions. */
	PERCPU__RSEQ_REFUSED,
	PERCPU__RSEQ_NO_SECTIONS,
};

/*
 * Finds what libc registers for every thread, on any kernel. *offset: from the thread pointer to
 * the rseq area; 0 unless usable.
 */
enum percpu__rseq_state percpu__rseq_find(ptrdiff_t *offset);

/*
 * Decides whether such areas are usable on this kernel. is_forced: on any kernel. A doubtful kernel
 * costs the time of percpu__rseq_aborts.
 * Context: async-signal-safe.
 */
enum percpu__rseq_state percpu__rseq_judge(ptrdiff_t offset, bool is_forced);

bool percpu__rseq_is_usable(enum percpu__rseq_state state);

/* Returns: one static line of English for percpu_mode_reason. */
const char *percpu__rseq_reason(enum percpu__rseq_state state);

/* ---- kernel.c ---- */

/*
 * Returns: the range of versions, in words, known not to abort critical sections and containing
 * this one; or NULL.
 */
const char *percpu__doubtful_kernel(const char *machine, const char *release);

/* ---- abort.c ---- */

enum percpu__aborts { PERCPU__ABORTS_UNKNOWN, PERCPU__ABORTS, PERCPU__ABORTS_NOT };

/*
 * Tries in the caller's rseq area, offset bytes from its thread pointer, whether this kernel aborts
 * a critical section when its thread is preempted without being moved. It takes a millisecond or
 * two; on a busy machine a quarter of a second at most, and the last sleep of the neighbour.
 * Context: async-signal-safe.
 */
enum percpu__aborts percpu__rseq_aborts(ptrdiff_t offset);

/* ---- fence.c ---- */

/* Returns: true if fences work here. The first call registers the process for them. */
bool percpu__fence_ready(void);

/*
 * percpu__fence - aborts every critical section that began before the call, on all CPUs. Critical
 * sections that begin later see what the caller stored before.
 * Returns: false if the kernel refuses, as it may from any moment on (a filter);
 * then nothing is fenced.
 */
bool percpu__fence(void);

#endif
