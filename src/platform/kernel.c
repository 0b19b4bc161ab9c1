/* SPDX-License-Identifier: MIT */
/*
 * Owns the table of kernels that are known not to abort critical sections when they must. Versions
 * are compared as numbers:
 *
 *	version = major << 48 | minor << 32 | patch << 16 | release candidate, or RELEASED for a release
 *
 * A version in the table does not prove the fault: distributions repair a kernel
 * and keep its version.
 */
#include <string.h>

#include "platform/platform.h"

#define RELEASED 0xffff
#define KERNEL(major, minor, patch, candidate)                                                     \
	((uint64_t)(major) << 48 | (uint64_t)(minor) << 32 | (uint64_t)(patch) << 16 |             \
	 (uint64_t)(candidate))

static const struct range {
	const char *machine;
	uint64_t from, before;
	const char *name;
} ranges[] = {
	/* No abort if a preempted thread continues on its CPU. 6.19 was never repaired. */
	{ "aarch64", KERNEL(6, 19, 0, 0), KERNEL(7, 0, 14, 0), "6.19 to 7.0.13" },
	{ "aarch64", KERNEL(7, 1, 0, 0), KERNEL(7, 1, 0, 3), "7.1-rc1 and 7.1-rc2" },
	/*
	 * A kernel with rseq that reports an older version hides it, as setarch --uname-2.6 does.
	 */
	{ "aarch64", 0, KERNEL(4, 18, 0, 0), "those that may hide being 6.19 to 7.0.13" },
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Returns: the number at *text, at most 0xfffe. *text moves past it. */
static uint64_t read_number(const char **text)
{
	uint64_t number = 0;

	for (; is_digit(**text); ++*text)
		number = number < 6553 ? 10 * number + (uint64_t)(**text - '0') : 0xfffe;
	return number;
}

/* Returns: the 2 of "7.1.0-rc2", "7.1-rc2", "7.1.0-0.rc2.fc45", "7.1.0-070100rc2". */
static uint64_t read_candidate(const char *text)
{
	for (const char *found = text; (found = strstr(found, "rc")); found += 2) {
		const char before = found > text ? found[-1] : '-', *number = found + 2;

		if (is_digit(*number) && !(before >= 'a' && before <= 'z') &&
		    !(before >= 'A' && before <= 'Z'))
			return read_number(&number);
	}
	return RELEASED;
}

static uint64_t version_of(const char *release)
{
	uint64_t numbers[3] = { 0 };

	for (int i = 0; i < 3 && is_digit(*release); i++) {
		numbers[i] = read_number(&release);
		if (*release != '.' || !is_digit(release[1]))
			break;
		release++;
	}
	return KERNEL(numbers[0], numbers[1], numbers[2], read_candidate(release));
}

const char *percpu__doubtful_kernel(const char *machine, const char *release)
{
	const uint64_t version = version_of(release);

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (!strcmp(machine, ranges[i].machine) && version >= ranges[i].from &&
		    version < ranges[i].before)
			return ranges[i].name;
	return NULL;
}
