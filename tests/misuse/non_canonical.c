/* SPDX-License-Identifier: MIT */
/* No address at all; its low bits are those of an allocation. */
#include "misuse/misuse.h"

int main(void)
{
	void *p = percpu_alloc(8, 8);

	percpu_free(shown((void *)((uintptr_t)p | UINT64_C(0xdead) << 48)));
	return 0;
}
