/* SPDX-License-Identifier: MIT */
/* The same array twice. */
#include "misuse/misuse.h"

int main(void)
{
	void *p[10];

	percpu_alloc_bulk(24, 8, 10, p);
	percpu_free_bulk(10, p);
	shown(p[0]);
	percpu_free_bulk(10, p);
	return 0;
}
