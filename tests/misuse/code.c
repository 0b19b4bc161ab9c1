/* SPDX-License-Identifier: MIT */
/* A function. */
#include "misuse/misuse.h"

int main(void)
{
	percpu_free(shown((void *)(uintptr_t)main));
	return 0;
}
