/* SPDX-License-Identifier: MIT */
/* The size of a copy. */
#include "misuse/misuse.h"

int main(void)
{
	char *p = percpu_alloc(64, 8);

	percpu_usable_size(shown(percpu_ptr(p, 0)));
	return 0;
}
