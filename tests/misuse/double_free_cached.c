/* SPDX-License-Identifier: MIT */
/* Twice, the first time onto a CPU's stack of ready areas. */
#include "misuse/misuse.h"

int main(void)
{
	void *p = percpu_alloc(8, 8), *q = percpu_alloc(8, 8);

	percpu_free(q);
	percpu_free(p);
	percpu_free(shown(p));
	return 0;
}
