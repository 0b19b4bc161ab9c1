/* SPDX-License-Identifier: MIT */
/*
 * Owns the discovery of libc's rseq areas. libc registers an area for every thread that it makes,
 * and three symbols tell where it lies; with a libc that lacks them the weak references are zero.
 * This file registers nothing and writes no area.
 *
 * A kernel that may not abort critical sections (kernel.c) is checked at start, unless the user
 * insists on rseq.
 */
#include <sys/utsname.h>

#include "platform/platform.h"

extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));
extern const unsigned int __rseq_flags __attribute__((weak));

/* The machine of the build: a personality(2) may make the kernel report another one. */
#ifdef __aarch64__
#define MACHINE "aarch64"
#else
#define MACHINE ""
#endif

enum percpu__rseq_state percpu__rseq_find(ptrdiff_t *offset)
{
	*offset = 0;
	if (!&__rseq_offset || !&__rseq_size || !&__rseq_flags)
		return PERCPU__RSEQ_ABSENT;
	if (!__rseq_size)
		return PERCPU__RSEQ_OFF;
	if (__rseq_flags || !__rseq_offset)
		return PERCPU__RSEQ_STRANGE;
	*offset = __rseq_offset;
	return PERCPU__RSEQ_USABLE;
}

enum percpu__rseq_state percpu__rseq_judge(ptrdiff_t offset, bool is_forced)
{
	struct utsname names;

	if (uname(&names) || !percpu__doubtful_kernel(MACHINE, names.release))
		return PERCPU__RSEQ_USABLE;
	if (is_forced)
		return PERCPU__RSEQ_FORCED;
	switch (percpu__rseq_aborts(offset)) {
	case PERCPU__ABORTS:
		return PERCPU__RSEQ_CHECKED;
	case PERCPU__ABORTS_NOT:
		return PERCPU__RSEQ_BAD_KERNEL;
	default:
		return PERCPU__RSEQ_DOUBTED;
	}
}

bool percpu__rseq_is_usable(enum percpu__rseq_state state)
{
	return state == PERCPU__RSEQ_USABLE || state == PERCPU__RSEQ_FORCED ||
	       state == PERCPU__RSEQ_CHECKED;
}

/* ---- reasons ---- */

static const char *const reasons[] = {
	[PERCPU__RSEQ_USABLE] = "libc registers rseq for every thread",
	[PERCPU__RSEQ_FORCED] =
		"PERCPU_OPTIONS=mode:rseq, on a kernel that may not abort sections on preemption",
	[PERCPU__RSEQ_CHECKED] = "a check at start saw this kernel abort sections on preemption",
	[PERCPU__RSEQ_ABSENT] = "this libc does not register rseq",
	[PERCPU__RSEQ_OFF] = "libc could not register rseq, or was told not to",
	[PERCPU__RSEQ_STRANGE] = "libc registered rseq in a way of unknown meaning",
	[PERCPU__RSEQ_BAD_KERNEL] =
		"a check at start saw that this kernel does not abort sections on preemption "
		"(PERCPU_OPTIONS=mode:rseq overrides)",
	[PERCPU__RSEQ_DOUBTED] =
		"this kernel may not abort sections on preemption, and could not be checked "
		"(PERCPU_OPTIONS=mode:rseq overrides)",
	[PERCPU__RSEQ_NO_SECTIONS] = "the library was built without sections for this machine",
	[PERCPU__RSEQ_REFUSED] = "PERCPU_OPTIONS asks for atomic mode",
};
#define NR_REASONS (sizeof(reasons) / sizeof(reasons[0]))

static bool is_about_the_kernel(enum percpu__rseq_state state)
{
	return state == PERCPU__RSEQ_FORCED || state == PERCPU__RSEQ_CHECKED ||
	       state == PERCPU__RSEQ_BAD_KERNEL || state == PERCPU__RSEQ_DOUBTED;
}

static void name_kernel(const char *reason, char *text, size_t size)
{
	struct utsname names = { .release = "?" };
	const char *range = uname(&names) ? NULL : percpu__doubtful_kernel(MACHINE, names.release);
	const char *const parts[] = { reason,
				      ": Linux ",
				      names.release,
				      range ? ", one of " : "",
				      range ? range : "",
				      range ? " on " MACHINE : "" };
	size_t length = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		for (const char *from = parts[i]; *from && length + 1 < size; from++)
			text[length++] = *from;
	text[length] = '\0';
}

/*
 * The first caller makes the text that names the kernel; callers in the meantime get one without
 * the name.
 */
const char *percpu__rseq_reason(enum percpu__rseq_state state)
{
	enum { UNMADE, BEING_MADE, MADE };
	static struct {
		int stage;
		char text[320];
	} named[NR_REASONS];
	int stage = __atomic_load_n(&named[state].stage, __ATOMIC_ACQUIRE);

	if (!is_about_the_kernel(state))
		return reasons[state];
	if (stage == UNMADE &&
	    __atomic_compare_exchange_n(&named[state].stage, &stage, BEING_MADE, false,
					__ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		name_kernel(reasons[state], named[state].text, sizeof(named[state].text));
		/* Pairs with percpu__rseq_reason, of others. */
		__atomic_store_n(&named[state].stage, MADE, __ATOMIC_RELEASE);
		stage = MADE;
	}
	return stage == MADE ? named[state].text : reasons[state];
}
