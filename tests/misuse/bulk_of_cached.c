/* SPDX-License-Identifier: MIT */
/* One by one, then all at once. */
#include "misuse/misuse.h"

int main(void)
{
	void *p[10], *q = percpu_alloc(24, 8);

	percpu_free(q);
	percpu_alloc_bulk(24, 8, 10, p);
	percpu_free(shown(p[0]));
	percpu_free_bulk(10, p);
	return 0;
}
