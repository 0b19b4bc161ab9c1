/* SPDX-License-Identifier: MIT */
/*
 * Owns transparent huge pages: whether this process can have them, and the advice
 * that asks for them.
 */
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"
#include "platform/sys.h"

#define HUGE_SYSFS "/sys/kernel/mm/transparent_hugepage/"

bool percpu__huge_pages_exist(void)
{
	char text[64];
	bool refused = sys_call(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0)) == 1;

	/* Since Linux 6.8 each size has a switch of its own, which may refer to the general one. */
	if (percpu__read_file(HUGE_SYSFS "hugepages-2048kB/enabled", text, sizeof(text)) > 0) {
		if (!strstr(text, "[inherit]"))
			return !refused && !strstr(text, "[never]");
	} else if (percpu__read_file(HUGE_SYSFS "hpage_pmd_size", text, sizeof(text)) <= 0 ||
		   strtoul(text, NULL, 10) != PERCPU__HUGE_BYTES) {
		return false;
	}
	return !refused && percpu__read_file(HUGE_SYSFS "enabled", text, sizeof(text)) > 0 &&
	       !strstr(text, "[never]");
}

int percpu__advise_huge(void *start, size_t bytes, bool huge)
{
	return sys_madvise(start, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}
