/* SPDX-License-Identifier: MIT */
/* The address of CPU 0's copy. */
#include "misuse/misuse.h"

int main(void)
{
	char *p = percpu_alloc(64, 8);

	percpu_free(shown(percpu_ptr(p, 0)));
	return 0;
}
