/* SPDX-License-Identifier: MIT */
/* One pointer twice in an array. */
#include "misuse/misuse.h"

int main(void)
{
	void *p[10];

	percpu_alloc_bulk(24, 8, 10, p);
	p[7] = shown(p[3]);
	percpu_free_bulk(10, p);
	return 0;
}
