/* SPDX-License-Identifier: MIT */
/* The library was never used before. */
#include "misuse/misuse.h"

int main(void)
{
	percpu_free(shown((void *)(uintptr_t)0x7f0000000000));
	return 0;
}
