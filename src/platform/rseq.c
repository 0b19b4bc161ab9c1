/* SPDX-License-Identifier: MIT */
/*
 * Owns the discovery of libc's rseq areas. libc registers one for every thread it makes and says where
 * it lies through three symbols; a libc without them leaves the weak references zero. Nothing is
 * registered here, and nothing of an area is written here.
 */
#include <string.h>
#include <sys/utsname.h>

#include "platform/platform.h"

extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));
extern const unsigned int __rseq_flags __attribute__((weak));

/* Kernels whose critical sections are known not to abort when they must, all their stable releases. */
static const struct bad_kernel {
	const char *machine;
	const char *version; /* major.minor */
} bad_kernels[] = {
	{ "aarch64", "6.19" },
};

bool percpu__rseq_is_bad_kernel(const char *machine, const char *release)
{
	for (size_t i = 0; i < sizeof(bad_kernels) / sizeof(bad_kernels[0]); i++) {
		size_t length = strlen(bad_kernels[i].version);

		if (strcmp(machine, bad_kernels[i].machine) || strncmp(release, bad_kernels[i].version, length))
			continue;
		if (release[length] < '0' || release[length] > '9')
			return true;
	}
	return false;
}

static const char *const reasons[] = {
	[PERCPU__RSEQ_USABLE] = "libc registers rseq for every thread",
	[PERCPU__RSEQ_ABSENT] = "this libc does not register rseq",
	[PERCPU__RSEQ_OFF] = "libc could not register rseq, or was told not to",
	[PERCPU__RSEQ_STRANGE] = "libc registered rseq in a way of unknown meaning",
	[PERCPU__RSEQ_BAD_KERNEL] = "this kernel is known not to abort sections on preemption",
	[PERCPU__RSEQ_NO_SECTIONS] = "the library was built without sections for this machine",
	[PERCPU__RSEQ_REFUSED] = "PERCPU_OPTIONS asks for atomic mode",
};

const char *percpu__rseq_reason(enum percpu__rseq_state state)
{
	return reasons[state];
}

enum percpu__rseq_state percpu__rseq_find(ptrdiff_t *offset)
{
	struct utsname names;

	*offset = 0;
	if (!&__rseq_offset || !&__rseq_size || !&__rseq_flags)
		return PERCPU__RSEQ_ABSENT;
	if (!__rseq_size)
		return PERCPU__RSEQ_OFF;
	if (__rseq_flags || !__rseq_offset)
		return PERCPU__RSEQ_STRANGE;
	if (uname(&names) == 0 && percpu__rseq_is_bad_kernel(names.machine, names.release))
		return PERCPU__RSEQ_BAD_KERNEL;
	*offset = __rseq_offset;
	return PERCPU__RSEQ_USABLE;
}
